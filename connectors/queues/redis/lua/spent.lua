-- What was spent of several allowances. ARGV: their names. Reads: spent:<name>.
-- uses: key
local found = {}
for i, name in ipairs(ARGV) do found[i] = redis.call('GET', key('spent', name)) or '0' end
return found
