-- Put a dead letter back as if it were new. ARGV: id, ms a live lane is kept. Answers 1 if it is there.
-- Writes: dead, lane:<lane>, ring:<engine>, engines, turns, bell:*; or results:<partition>.
local letter = redis.call('XRANGE', key('dead'), ARGV[1], ARGV[1])[1]
if not letter then return 0 end
local fields = fields_of(letter)
if fields.l then
  local stream, engine = key('lane', fields.l), string.match(fields.l, '^[^:]*')
  ensure_group(stream, 'workers')
  redis.call('XADD', stream, '*', 'j', fields.j, 'x', fields.x, 'f', fields.f, 'o', fields.o,
    'p', fields.p, 't', fields.t or '0')
  if string.find(fields.l, ':live:', 1, true) then
    redis.call('PEXPIRE', stream, ARGV[2])
  else
    redis.call('PERSIST', stream)
  end
  redis.call('SADD', key('engines'), engine)
  enter(engine, fields.l)
else
  ensure_group(key('results', fields.p), 'processors')
  if fields.r then
    redis.call('XADD', key('results', fields.p), '*', 'r', fields.r)
  else
    redis.call('XADD', key('results', fields.p), '*', 'j', fields.j, 'w', fields.v)
  end
end
redis.call('XDEL', key('dead'), ARGV[1])
return 1
