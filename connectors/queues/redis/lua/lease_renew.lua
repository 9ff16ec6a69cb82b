-- Own it for longer. ARGV: what, token, ms. Answers 1, or 0 when the lease was lost.
-- Writes: lease:<what>.
local lease = key('lease', ARGV[1])
if redis.call('HGET', lease, 'token') ~= ARGV[2] then return 0 end
return redis.call('PEXPIRE', lease, ARGV[3])
