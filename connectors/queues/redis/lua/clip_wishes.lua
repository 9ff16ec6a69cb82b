-- What is wanted of some cameras and was not answered yet. ARGV: cameras. Answers the wishes.
-- uses: key
local found = {}
for i = 1, #ARGV do
  for _, wish in ipairs(redis.call('HVALS', key('clips', ARGV[i]))) do found[#found + 1] = wish end
end
return found
