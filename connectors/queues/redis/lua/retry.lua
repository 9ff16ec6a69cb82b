-- Put a dead letter back as if it were new. ARGV: id, ms a live lane is kept. Answers 1 if it is there.
-- Writes: dead, lane:<lane>, ring:<engine>, engines, wake:<engine>; or results:<partition>.
-- uses: key, ms_of, add_to, is_live, fields_of, enter
local letter = redis.call('XRANGE', key('dead'), ARGV[1], ARGV[1])[1]
if not letter then return 0 end
local fields = fields_of(letter)
if fields.l then
  local stream = key('lane', fields.l)
  local id = add_to(stream, 'workers', 'j', fields.j, 'x', fields.x, 'm', fields.m)
  if is_live(fields.l) then
    redis.call('PEXPIRE', stream, ARGV[2])
  else
    redis.call('PERSIST', stream)
  end
  enter(fields.l, ms_of(id) * 1000)
elseif fields.r then
  add_to(key('results', fields.p), 'processors', 'r', fields.r)
else
  add_to(key('results', fields.p), 'processors', 'j', fields.j, 'w', fields.v)
end
redis.call('XDEL', key('dead'), ARGV[1])
return 1
