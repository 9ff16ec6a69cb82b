-- Keep a result that its processor cannot read as a dead letter, once. ARGV: partition, id, reason, dead
--   letters kept, 1 where the entry stays until it is acknowledged in its place, the lane of its job or ''.
-- Writes: results:<partition>, dead.
-- uses: key, even_when_full, fields_of, keep_dead
even_when_full()
local results = key('results', ARGV[1])
local entry = redis.call('XRANGE', results, ARGV[2], ARGV[2])[1]
if not entry then return end
local fields = fields_of(entry)
if ARGV[5] == '1' then
  for _, letter in ipairs(redis.call('XREVRANGE', key('dead'), '+', '-', 'COUNT', 1000)) do
    local kept = fields_of(letter)
    -- It came again, because whoever took it has ended before it was acknowledged.
    if kept.e == ARGV[2] and kept.p == ARGV[1] then return end
  end
else
  redis.call('XACK', results, 'processors', ARGV[2])
  redis.call('XDEL', results, ARGV[2])
end
if fields.r then
  keep_dead(tonumber(ARGV[4]), 'p', ARGV[1], 'w', ARGV[3], 'e', ARGV[2], 'o', ARGV[6], 'r', fields.r)
else
  keep_dead(tonumber(ARGV[4]), 'p', ARGV[1], 'w', ARGV[3], 'e', ARGV[2], 'o', ARGV[6],
    'j', fields.j or '', 'v', fields.w or '')
end
