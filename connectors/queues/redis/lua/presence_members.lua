-- Everybody alive: {member, report}... Reads: present, reports.
-- uses: key, now_ms
local found = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', key('present'), '(' .. now_ms(), '+inf')) do
  found[#found + 1] = {member, redis.call('HGET', key('reports'), member) or ''}
end
return found
