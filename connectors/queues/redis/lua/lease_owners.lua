-- Who owns what: {partition, owner, token}... ARGV: number of partitions. Reads: lease:*.
local found = {}
for partition = 0, tonumber(ARGV[1]) - 1 do
  local lease = redis.call('HMGET', key('lease', partition), 'owner', 'token')
  if lease[1] then found[#found + 1] = {partition, lease[1], lease[2]} end
end
return found
