-- Offer a job whose picture was stored, for a while, just before.
-- Writes: lane:<lane>, picture:<picture>, refs:<run>, flight:<flight>, ring:<engine>, engines,
--   wake:<engine>, wanted, bell:*; what a live lane lets go: results:<partition>, dropped, picture:*, flight:*.
-- Answers {'ok', jobs let go...}, {'known'}, {'picture'} (it is gone) or {'full', bell id}.
local engine, lane, kind, room = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local job, picture, captured_at = ARGV[5], ARGV[6], ARGV[7]
local flight, ordinal, partition = key('flight', ARGV[8]), ARGV[9], ARGV[10]
local live_ms, flight_ms, age_ms = ARGV[11], ARGV[12], tonumber(ARGV[13])
local results_room, sent = tonumber(ARGV[14]), ARGV[15] == '1'
local stream, shown, live = key('lane', lane), key('picture', picture), kind == 'live'
local length, now = redis.call('XLEN', stream), now_us()

if not live and length >= room and redis.call('SISMEMBER', flight, ordinal) == 0
  and waiting_in(stream, 'workers', length) >= room then
  return {'full', want_room(lane)}
end
-- Also one that was just sent: it may have been there already, and expired meanwhile.
if redis.call('EXISTS', shown) == 0 then return {'picture'} end
local run, seq = string.match(picture, '^(.*):(.*)$')
if redis.call('SADD', flight, ordinal) == 0 then
  -- The picture of a job on its way was lost, and is here again: it stays like the job.
  if sent and not live and redis.call('HEXISTS', key('refs', run), seq) == 1 then
    redis.call('PERSIST', shown)
  end
  return {'known'}
end
redis.call('PEXPIRE', flight, flight_ms)
redis.call('HINCRBY', key('refs', run), seq, 1)
add_to(stream, 'workers', 'j', job, 'x', picture, 'f', ARGV[8], 'o', ordinal, 'p', partition,
  't', captured_at)
if not live then
  if length == 0 then redis.call('PERSIST', stream) end
  redis.call('PERSIST', shown)
  enter(engine, lane, now)
  return {'ok'}
end
redis.call('PEXPIRE', stream, live_ms)
if redis.call('PTTL', key('refs', run)) ~= -1 or redis.call('HLEN', key('refs', run)) == 1 then
  redis.call('PEXPIRE', key('refs', run), live_ms)
end
enter(engine, lane, now)
if length == 0 then return {'ok'} end

-- The newest stays, whatever its age. Only what no worker holds can go.
local too_old = now / 1000 - age_ms
local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
if length < room and tonumber(string.match(first[1], '%d+')) >= too_old then return {'ok'} end
local waiting, last = waiting_in(stream, 'workers', length + 1)
local reply, over = {'ok'}, waiting - room
while waiting > 1 do
  local entry = redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1)[1]
  local stale = tonumber(string.match(entry[1], '%d+')) < too_old
  if over <= 0 and not stale then break end
  reply[#reply + 1] = drop(lane, entry, over > 0 and 'queue full' or 'stale', results_room)
  last, over, waiting = entry[1], over - 1, waiting - 1
end
return reply
