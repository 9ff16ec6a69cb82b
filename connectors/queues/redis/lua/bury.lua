-- Give up a job that its worker cannot read. ARGV: lane, id, attempts, reason, dead letters kept.
-- Writes: lane:<lane>, dead, results:*, picture:*.
-- uses: key, even_when_full, give_up
even_when_full()
local entry = redis.pcall('XRANGE', key('lane', ARGV[1]), ARGV[2], ARGV[2])[1]
if entry then
  give_up(ARGV[1], entry, ARGV[3], ARGV[4], tonumber(ARGV[5]))
end
