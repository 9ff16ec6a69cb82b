-- Take jobs of an engine, one camera after the other, those first whose worker is lost, and before the
-- frames of cameras what goes ahead, one for each frame that waits. The last argument is 1 where only that
-- is taken.
-- Reads and writes: ring:<engine>, owing:<engine>, due:<engine>, lane:*, picture:*, refs:*, wanted,
--   wake:<engine>, bell:*;
--   what is given up or too old: dead, results:*, dropped, flight:*.
-- Answers {ms until a lease may end, 1 where more waits, {lane, id, attempts, job, picture}...}.
-- uses: EMPTY_MS, key, even_when_full, now_us, ms_of, ring_if_wanted, is_live, is_ahead, place_of, drop, wake, give_up
local engine, limit, visibility = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local max_attempts, most_dead = tonumber(ARGV[4]), tonumber(ARGV[5])
local oldest_ms, results_room = tonumber(ARGV[6]), tonumber(ARGV[7])
local only_ahead = ARGV[8] == '1'
local lanes, due = key('ring', engine), key('due', engine)
local claims, turn = {}, now_us()
local now = math.floor(turn / 1000)
even_when_full()

-- A turn, or a lease's end, that is further ahead than there can be one is from before Redis' clock
-- was set back: it would have to wait until then.
local function not_beyond(set, most, instead)
  for _, lane in ipairs(redis.call('ZRANGEBYSCORE', set, string.format('(%.0f', most), '+inf')) do
    redis.call('ZADD', set, string.format('%.0f', instead), lane)
  end
end
not_beyond(lanes, turn + 1000000, turn)
not_beyond(due, now + visibility, now + visibility)

-- Take over a lane's jobs whose lease has ended, at most `limit`; those with no life left are given up.
local function reclaim(lane, room)
  local stream, found = key('lane', lane), {}
  while #found < room do
    local ended = redis.pcall('XPENDING', stream, 'workers', 'IDLE', visibility, '-', '+', 1)[1]
    if not ended or ended.err then break end
    local entry = redis.call('XRANGE', stream, ended[1], ended[1])[1]
    local attempts = ended[4]
    if not entry then
      redis.call('XACK', stream, 'workers', ended[1])
    elseif attempts >= max_attempts then
      local reason = 'no worker finished it in ' .. attempts .. ' attempts'
      give_up(lane, entry, attempts, reason, most_dead)
    else
      redis.call('XCLAIM', stream, 'workers', 'worker', 0, ended[1], 'JUSTID', 'RETRYCOUNT', attempts + 1)
      found[#found + 1] = {entry, attempts + 1}
    end
  end
  return found
end

-- When the first lease of a lane may end; the lane is looked at again then.
local function set_due(lane)
  local pending = redis.pcall('XPENDING', key('lane', lane), 'workers', '-', '+', 1000)
  local idle = -1
  if not pending.err then
    for _, one in ipairs(pending) do idle = math.max(idle, one[3]) end
  end
  if idle < 0 then
    redis.call('ZREM', due, lane)
  else
    redis.call('ZADD', due, now + math.max(1, visibility - idle), lane)
  end
end

-- True when the job goes to the worker, false when it is too old. An entry begins with j and x.
local function hand_out(lane, live, entry, attempts)
  if live and attempts == 1 and ms_of(entry[1]) < now - oldest_ms then
    drop(lane, entry, 'stale', results_room)
    return false
  end
  claims[#claims + 1] = {lane, entry[1], attempts, entry[2][2] or '', entry[2][4] or ''}
  return true
end

local ended = only_ahead and {} or redis.call('ZRANGEBYSCORE', due, '-inf', now)
for _, lane in ipairs(ended) do
  local found = reclaim(lane, limit - #claims)
  for _, one in ipairs(found) do hand_out(lane, is_live(lane), one[1], one[2]) end
  if #claims >= limit then break end
  set_due(lane)
end

local wanted = redis.call('EXISTS', key('wanted')) == 1
local given = {}

-- Take up to `share` of a lane's jobs; true when some may be left.
local function serve(lane, share)
  local stream, live = key('lane', lane), is_live(lane)
  local read = redis.pcall('XREADGROUP', 'GROUP', 'workers', 'worker', 'COUNT', share, 'STREAMS',
    stream, '>')
  if not read or read.err then return false end
  local entries, before = read[1][2], #claims
  -- Nothing is left where the stream is no longer than what was just taken.
  local more = #entries == share and redis.call('XLEN', stream) > #entries
  for _, entry in ipairs(entries) do hand_out(lane, live, entry, 1) end
  if #claims > before then
    given[#given + 1] = now + visibility
    given[#given + 1] = lane
  end
  if wanted then ring_if_wanted(lane) end
  return more
end

-- A round gives each camera in the ring an equal share of what is left to take. While something goes
-- ahead a round is one job: that, or the frame that is owed since the last such job.
local owing = key('owing', engine)
local owed = redis.call('EXISTS', owing) == 1
local owes = owed
while #claims < limit do
  local left = limit - #claims
  local ahead = redis.call('ZRANGEBYSCORE', lanes, '-inf', '(0', 'LIMIT', 0, 1)
  local round = redis.call('ZRANGEBYSCORE', lanes, 0, '+inf', 'LIMIT', 0, #ahead > 0 and 1 or left)
  if #ahead > 0 and not (owes and #round > 0) then
    round = ahead
  elseif only_ahead then
    break
  end
  if #round == 0 then break end
  local share = #ahead == 0 and #round < left and math.floor(left / #round) or 1
  for _, lane in ipairs(round) do
    local before = #claims
    if serve(lane, share) then
      turn = turn + 1
      redis.call('ZADD', lanes, place_of(lane, turn), lane)
    else
      redis.call('ZREM', lanes, lane)
    end
    if #claims > before then owes = is_ahead(lane) end
  end
end
if owes then
  redis.call('SET', owing, 1, 'PX', EMPTY_MS)
elseif owed then
  redis.call('DEL', owing)
end
if #given > 0 then redis.call('ZADD', due, 'NX', unpack(given)) end

local next_due = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
local wait_ms = next_due and math.max(1, tonumber(next_due) - now) or -1
local more = redis.call('ZCARD', lanes) > 0
if more and not only_ahead then wake(engine) end
return {wait_ms, more and 1 or 0, unpack(claims)}
