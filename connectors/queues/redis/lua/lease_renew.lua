-- Own it for longer. ARGV: what, token, ms, owner: if given, a lease that ended is taken up again if
-- nobody has had it since. Answers 1, or 0 when the lease was lost.
-- Writes: lease:<what>, and tokens where Redis has lost its data.
-- uses: key, even_when_full
local lease, owner = key('lease', ARGV[1]), ARGV[4] or ''
local token = redis.call('HGET', lease, 'token')
if not token and owner ~= '' then
  local last = redis.call('HGET', key('tokens'), ARGV[1])
  if last and last ~= ARGV[2] then return 0 end
  even_when_full()
  redis.call('HSET', key('tokens'), ARGV[1], ARGV[2])
  redis.call('HSET', lease, 'owner', owner, 'token', ARGV[2])
elseif token ~= ARGV[2] then
  return 0
end
return redis.call('PEXPIRE', lease, ARGV[3])
