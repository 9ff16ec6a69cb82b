-- Keep a picture for events. ARGV: picture, ms it stays after its last job. Writes: picture:<picture>.
even_when_full()
local name = key('picture', ARGV[1])
if redis.call('EXISTS', name) == 0 then return 0 end
redis.call('HSET', name, 'k', ARGV[2])
if tonumber(redis.call('HGET', name, 'n')) <= 0 then redis.call('PEXPIRE', name, ARGV[2]) end
return 1
