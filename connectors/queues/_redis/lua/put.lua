-- Offer a job.
-- Writes: lane:<lane>, picture:<picture>, flight:<flight>, ring:<engine>, engines, turns, bell:*;
--   what a live lane lets go: results:<partition>, dropped, picture:*, flight:*.
-- Answers {'ok', jobs let go...}, {'known'}, {'picture'} (send the pixels, too) or {'full', bell id}.
local engine, lane, kind, room = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local job, picture, pixels = ARGV[5], ARGV[6], ARGV[7]
local flight, ordinal, partition, captured_at = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local lane_ttl, picture_ttl, flight_ttl = ARGV[12], ARGV[13], ARGV[14]
local oldest_ms, results_room = tonumber(ARGV[15]), tonumber(ARGV[16])
local stream, shown, live = key('lane', lane), key('picture', picture), kind == 'live'

if redis.call('SISMEMBER', key('flight', flight), ordinal) == 1 then return {'known'} end
local waiting, last = waiting_in(stream, 'workers')
if not live and waiting >= room then return {'full', want_room(lane)} end
if pixels == '' then
  if redis.call('HEXISTS', shown, 'd') == 0 then return {'picture'} end
else
  redis.call('HSETNX', shown, 'd', pixels)
end
redis.call('HINCRBY', shown, 'n', 1)
ensure_group(stream, 'workers')
redis.call('XADD', stream, '*', 'j', job, 'x', picture, 'f', flight, 'o', ordinal, 'p', partition,
  't', captured_at)
redis.call('SADD', key('flight', flight), ordinal)
redis.call('PEXPIRE', key('flight', flight), flight_ttl)
if live then
  redis.call('PEXPIRE', stream, lane_ttl)
  if redis.call('PTTL', shown) ~= -1 or redis.call('HGET', shown, 'n') == '1' then
    redis.call('PEXPIRE', shown, picture_ttl)
  end
else
  redis.call('PERSIST', stream)
  redis.call('PERSIST', shown)
end
if redis.call('ZSCORE', key('ring', engine), lane) == false then
  redis.call('SADD', key('engines'), engine)
  enter(engine, lane)
end
local reply = {'ok'}
if not live then return reply end

-- The newest stays, whatever its age.
local over, too_old = waiting + 1 - room, now_ms() - oldest_ms
while waiting > 0 do
  local entry = redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1)[1]
  local stale = tonumber(string.match(entry[1], '%d+')) < too_old
  if over <= 0 and not stale then break end
  reply[#reply + 1] = drop(lane, entry, over > 0 and 'queue full' or 'stale', results_room)
  last, over, waiting = entry[1], over - 1, waiting - 1
end
return reply
