-- Be known as alive for a while. ARGV: member, report, ms.
-- Writes: present, reports; forgets whoever said nothing for too long. Also where Redis is full, as
-- somebody will want to know who is there then.
-- uses: EMPTY_MS, key, even_when_full, now_ms
local present, reports = key('present'), key('reports')
local now = now_ms()
even_when_full()
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', present, '-inf', now)) do
  redis.call('ZREM', present, gone)
  redis.call('HDEL', reports, gone)
end
redis.call('ZADD', present, now + tonumber(ARGV[3]), ARGV[1])
redis.call('HSET', reports, ARGV[1], ARGV[2])
redis.call('PEXPIRE', present, EMPTY_MS)
redis.call('PEXPIRE', reports, EMPTY_MS)
