-- Offer a job whose picture was stored, for a while, just before.
-- ARGV: lane, room, job, run, seq, flight, ordinal, what else the entry says (see meta_of), ms a flight
--   is remembered, 1 when the picture was sent along, the camera's lease and the putting sampler's
--   token, or '' twice; and of a live job, ms its lane is kept, ms a frame may wait, room of a
--   partition for results.
-- Writes: lane:<lane>, picture:<picture>, refs:<run>, flight:<flight>, ring:<engine>, engines,
--   wake:<engine>, wanted, bell:*; what a live lane lets go: results:<partition>, dropped, picture:*, flight:*.
-- Answers {'ok', jobs let go...}, {'known'}, {'picture'} (it is gone), {'full', bell id},
--   or {'taken'}: another sampler has the camera by now.
-- uses: key, is_taken, ms_of, waiting_in, add_to, want_room, add_one, drop, enter
local lane, room = ARGV[1], tonumber(ARGV[2])
if is_taken(ARGV[11], ARGV[12]) then return {'taken'} end
local seq, flight, ordinal, live_ms = ARGV[5], key('flight', ARGV[6]), ARGV[7], ARGV[13]
local picture, refs = ARGV[4] .. ':' .. seq, key('refs', ARGV[4])
local stream, shown = key('lane', lane), key('picture', picture)
local length = redis.call('XLEN', stream)

if not live_ms and length >= room and redis.call('SISMEMBER', flight, ordinal) == 0
  and waiting_in(stream, 'workers', length) >= room then
  return {'full', want_room(lane)}
end
-- Also one that was just sent: it may have been there already, and expired meanwhile.
if redis.call('EXISTS', shown) == 0 then return {'picture'} end
if redis.call('SADD', flight, ordinal) == 0 then
  -- The picture of a job on its way was lost, and is here again: it stays like the job.
  if ARGV[10] == '1' and not live_ms and redis.call('HEXISTS', refs, seq) == 1 then
    redis.call('PERSIST', shown)
  end
  return {'known'}
end
redis.call('PEXPIRE', flight, ARGV[9])
add_one(refs, seq)
local now = ms_of(add_to(stream, 'workers', 'j', ARGV[3], 'x', picture, 'm', ARGV[8]))
enter(lane, now * 1000)
if not live_ms then
  if length == 0 then redis.call('PERSIST', stream) end
  redis.call('PERSIST', shown)
  return {'ok'}
end
redis.call('PEXPIRE', stream, live_ms)
if redis.call('PTTL', refs) ~= -1 or redis.call('HLEN', refs) == 1 then
  redis.call('PEXPIRE', refs, live_ms)
end
if length == 0 then return {'ok'} end

-- The newest stays, whatever its age. Only what no worker holds can go.
local too_old, results_room = now - tonumber(ARGV[14]), tonumber(ARGV[15])
local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
if length < room and ms_of(first[1]) >= too_old then return {'ok'} end

local waiting, last = waiting_in(stream, 'workers', length + 1)
local reply, over = {'ok'}, waiting - room
while waiting > 1 do
  local entry = redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1)[1]
  if over <= 0 and ms_of(entry[1]) >= too_old then break end
  reply[#reply + 1] = drop(lane, entry, over > 0 and 'queue full' or 'stale', results_room)
  last, over, waiting = entry[1], over - 1, waiting - 1
end
return reply
