-- Who owns what: {what, owner, token}... ARGV: what is asked about. Reads: lease:*.
-- uses: key
local found = {}
for _, what in ipairs(ARGV) do
  local lease = redis.call('HMGET', key('lease', what), 'owner', 'token')
  if lease[1] then found[#found + 1] = {what, lease[1], lease[2] or ''} end
end
return found
