-- Answer a visitor's question. ARGV: the question's name, for how long in ms, the answer.
-- uses: key
local name = key('reply', ARGV[1])
if redis.call('EXISTS', name) == 0 then
  redis.call('RPUSH', name, ARGV[3])
  redis.call('PEXPIRE', name, ARGV[2])
end
return 1
