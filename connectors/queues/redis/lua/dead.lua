-- Dead letters, oldest first: {id, lane or '', attempts, reason, picture or ''}... Reads: dead.
-- uses: key, fields_of
local found = {}
for _, letter in ipairs(redis.call('XRANGE', key('dead'), '-', '+')) do
  local fields = fields_of(letter)
  found[#found + 1] = {letter[1], fields.l or fields.o or '', fields.n or 1, fields.w or '', fields.x or ''}
end
return found
