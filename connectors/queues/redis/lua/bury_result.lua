-- Give up a result that its processor cannot read. ARGV: partition, id, reason, dead letters kept.
-- Writes: results:<partition>, dead.
-- uses: key, even_when_full, fields_of, keep_dead
even_when_full()
local results = key('results', ARGV[1])
local entry = redis.call('XRANGE', results, ARGV[2], ARGV[2])[1]
if entry then
  local fields = fields_of(entry)
  redis.call('XACK', results, 'processors', ARGV[2])
  redis.call('XDEL', results, ARGV[2])
  if fields.r then
    keep_dead(tonumber(ARGV[4]), 'p', ARGV[1], 'w', ARGV[3], 'r', fields.r)
  else
    keep_dead(tonumber(ARGV[4]), 'p', ARGV[1], 'w', ARGV[3], 'j', fields.j or '', 'v', fields.w or '')
  end
end
