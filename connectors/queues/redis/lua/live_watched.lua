-- How wide cameras are watched. ARGV: cameras. Answers a width or nothing for each.
-- uses: key
local found = {}
for i = 1, #ARGV do found[i] = redis.call('GET', key('watch', ARGV[i])) end
return found
