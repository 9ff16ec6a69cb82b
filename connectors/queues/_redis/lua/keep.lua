-- Keep a picture for events. ARGV: run, seq, ms it stays after its last job.
-- Writes: picture:<picture>, refs:<run>.
even_when_full()
local refs, name = key('refs', ARGV[1]), key('picture', ARGV[1] .. ':' .. ARGV[2])
if redis.call('HEXISTS', refs, ARGV[2]) == 1 then
  redis.call('HSET', refs, 'k' .. ARGV[2], ARGV[3])
else
  redis.call('PEXPIRE', name, ARGV[3])
end
