-- What the scripts share. Each definition has its name in `-- define:` and what it needs of those above it
-- in `-- uses:`; a script says in `-- uses:` what it needs, and gets that alone in front of it.
-- KEYS[1] of every script is the base, `{prefix}`.

-- define: base
-- All keys begin with it and so share one slot, which is why a script may also
-- touch keys that are only known once it runs (see keys.py for the table).
local base = KEYS[1]

-- define: EMPTY_MS
-- How long an empty lane, or a bell, is remembered.
local EMPTY_MS = 3600000

-- define: key
-- uses: base
local function key(kind, name)
  return name and base .. ':' .. kind .. ':' .. name or base .. ':' .. kind
end

-- define: even_when_full
-- uses: key
-- A full Redis refuses commands that may grow it, except to a script that has written already.
-- What frees memory in the end calls this first.
local function even_when_full()
  redis.call('DEL', key('none'))
end

-- define: is_taken
-- uses: key
-- Whether something leased was given to another since a token for it; no lease is never taken.
local function is_taken(lease, token)
  if lease == '' then return false end
  return (tonumber(redis.call('HGET', key('tokens'), lease) or '0') or 0) > (tonumber(token) or 0)
end

-- define: now_us
-- Redis' clock in microseconds; it stands still while a script runs.
local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- define: now_ms
-- uses: now_us
local function now_ms()
  return math.floor(now_us() / 1000)
end

-- define: ms_of
-- When a stream's entry was made, in ms, by its id.
local function ms_of(id)
  return tonumber(string.match(id, '^%d+'))
end

-- define: in_parts
-- No more at once than fits on Lua's stack.
local function in_parts(list, work)
  for from = 1, #list, 1000 do work(unpack(list, from, math.min(from + 999, #list))) end
end

-- define: waiting_in
-- How many entries of a stream no consumer was given yet, and the last id that one was given.
local function waiting_in(stream, group, length)
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local found = {}
    for i = 1, #info, 2 do found[info[i]] = info[i + 1] end
    if found.name == group then return length - found.pending, found['last-delivered-id'] end
  end
end

-- define: add_to
-- Add to a stream, and answer the id; the first entry of a new one makes its group.
local function add_to(stream, group, ...)
  local id = redis.call('XADD', stream, 'NOMKSTREAM', '*', ...)
  if id then return id end
  redis.call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
  return redis.call('XADD', stream, '*', ...)
end

-- define: bell_id
-- uses: key
-- Bells: whoever waits blocks on a bell's stream from the id seen last, so no ring is ever missed.
local function bell_id(name)
  local last = redis.call('XREVRANGE', key('bell', name), '+', '-', 'COUNT', 1)
  return last[1] and last[1][1] or '0-0'
end

-- define: ring
-- uses: EMPTY_MS, key
local function ring(name)
  redis.call('XADD', key('bell', name), 'MAXLEN', 1, '*', 'r', 1)
  redis.call('PEXPIRE', key('bell', name), EMPTY_MS)
end

-- define: want_room
-- uses: key, bell_id
-- Somebody waits for room in `name`: ring once there is some.
local function want_room(name)
  redis.call('SADD', key('wanted'), name)
  redis.call('PEXPIRE', key('wanted'), 3600000)
  return bell_id('room:' .. name)
end

-- define: without_room
-- uses: key, waiting_in, want_room
-- For results in ARGV, a partition at every `step` from `first`: the refusal, where one has no room.
local function without_room(room, first, step)
  local more = {}
  for i = first, #ARGV, step do more[ARGV[i]] = (more[ARGV[i]] or 0) + 1 end
  for partition, count in pairs(more) do
    local results = key('results', partition)
    local length = redis.call('XLEN', results)
    if length > 0 and length + count > room then
      local waiting = waiting_in(results, 'processors', length)
      -- A batch larger than the whole room goes in alone rather than never.
      if waiting > 0 and waiting + count > room then
        return {0, partition, want_room('results:' .. partition)}
      end
    end
  end
end

-- define: ring_if_wanted
-- uses: key, ring
local function ring_if_wanted(name)
  if redis.call('SREM', key('wanted'), name) == 1 then ring('room:' .. name) end
end

-- define: is_live
-- A lane is known by `engine:kind:camera`.
local function is_live(lane)
  return string.find(lane, ':live:', 1, true) ~= nil
end

-- define: take_out
-- uses: EMPTY_MS, key, is_live
-- Take an entry out of a lane; an empty lane goes after a while, and all its kind with it.
local function take_out(lane, id)
  local stream = key('lane', lane)
  redis.call('XACK', stream, 'workers', id)
  if redis.call('XDEL', stream, id) == 0 then return false end
  -- A live lane goes by itself.
  if not is_live(lane) and redis.call('XLEN', stream) == 0 then
    redis.call('PEXPIRE', stream, EMPTY_MS)
  end
  return true
end

-- define: fields_of
local function fields_of(entry)
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  return fields
end

-- define: meta_of
-- What a job's entry says beside the job and its picture.
local function meta_of(fields)
  local flight, ordinal, partition, captured_at =
    string.match(fields.m or '', '^(.*)|(.*)|(.*)|(.*)|.*$')
  return {flight = flight or '', ordinal = ordinal or '', partition = partition or '0',
    captured_at = captured_at or '0'}
end

-- define: add_one
-- Count in a hash; what is not a number, or beyond any count, was not written by us: it begins anew.
local function add_one(hash, field)
  local count = redis.pcall('HINCRBY', hash, field, 1)
  if type(count) == 'table' then redis.call('HSET', hash, field, 1) end
end

-- define: whole
-- A number that was stored as text, if it can be one of ours.
local function whole(text)
  local number = tonumber(text or '')
  return number and number >= 0 and number < 1e14 and math.floor(number) or nil
end

-- define: let_go
-- uses: key, whole
-- One job less refers to a picture. Without jobs it goes, or stays for `keep_ms` if an event may want it.
-- A picture is `camera:run:seq`; its run counts the jobs that refer to each of its pictures.
-- What is to be unlinked is added to `gone`, where there is such a list.
local function let_go(picture, keep_ms, gone)
  local run, seq = string.match(picture or '', '^(.*):(.*)$')
  if not run then return end
  local refs = key('refs', run)
  local count, kept_ms = unpack(redis.call('HMGET', refs, seq, 'k' .. seq))
  count, kept_ms = whole(count) or 1, whole(kept_ms)
  if keep_ms == '' then keep_ms = kept_ms end
  if count > 1 then
    redis.call('HSET', refs, seq, string.format('%.0f', count - 1))
    if keep_ms and not kept_ms then redis.call('HSET', refs, 'k' .. seq, keep_ms) end
    return
  end
  redis.call('HDEL', refs, seq, 'k' .. seq)
  if keep_ms then
    redis.call('PEXPIRE', key('picture', picture), keep_ms)
  elseif gone then
    gone[#gone + 1] = key('picture', picture)
  else
    redis.call('UNLINK', key('picture', picture))
  end
end

-- define: publish_failed
-- uses: key, waiting_in, add_to, meta_of
-- Put a job that nobody answered among the results. True when there was room for it.
local function publish_failed(lane, fields, reason, room)
  local results = key('results', meta_of(fields).partition)
  local length = redis.call('XLEN', results)
  if room and length >= room and waiting_in(results, 'processors', length) >= room then
    return false
  end
  add_to(results, 'processors', 'j', fields.j or '', 'w', reason, 'l', lane, 'x', fields.x or '',
    'm', fields.m or '')
  return true
end

-- define: drop
-- uses: key, take_out, fields_of, meta_of, add_one, let_go, publish_failed
-- Let a live job go: counted, and answered for while there is room among the results.
local function drop(lane, entry, reason, room)
  local fields = fields_of(entry)
  local meta = meta_of(fields)
  take_out(lane, entry[1])
  let_go(fields.x, '')
  add_one(key('dropped'), lane .. ':' .. reason)
  if not publish_failed(lane, fields, reason, room) then
    redis.call('SREM', key('flight', meta.flight), meta.ordinal)
  end
  return fields.j or ''
end

-- define: wake
-- uses: EMPTY_MS, key
-- Wake one worker that waits, or the next one that would. While jobs wait there is such a token, or
-- a worker who took it and is about to claim; waking all would cost more than the claim.
local function wake(engine)
  local token = key('wake', engine)
  if redis.call('LLEN', token) == 0 then
    redis.call('RPUSH', token, 1)
    redis.call('PEXPIRE', token, EMPTY_MS)
  end
end

-- define: is_ahead
-- Whether a lane's jobs go before the frames of cameras.
local function is_ahead(lane)
  return string.find(lane, ':ahead:', 1, true) ~= nil
end

-- define: place_of
-- uses: is_ahead
-- A lane's place in the ring for a turn in us: all that go ahead lie below 0, where no time does.
local function place_of(lane, turn)
  return string.format('%.0f', is_ahead(lane) and turn - 4000000000000000 or turn)
end

-- define: enter
-- uses: key, wake, place_of
-- Show a lane to the workers of its engine; a turn is the time, in us, at which it last had one.
local function enter(lane, turn)
  local engine = string.match(lane, '^[^:]*')
  local lanes = key('ring', engine)
  if redis.call('ZADD', lanes, 'NX', place_of(lane, turn), lane) == 1 and redis.call('ZCARD', lanes) == 1 then
    redis.call('SADD', key('engines'), engine)
    wake(engine)
  end
end

-- define: forget_dead
-- uses: key, let_go
local function forget_dead(id, fields)
  if fields.x then let_go(fields.x, '') end
  redis.call('XDEL', key('dead'), id)
end

-- define: keep_dead
-- uses: key, fields_of, forget_dead
local function keep_dead(most, ...)
  redis.call('XADD', key('dead'), '*', ...)
  while redis.call('XLEN', key('dead')) > most do
    local oldest = redis.call('XRANGE', key('dead'), '-', '+', 'COUNT', 1)[1]
    forget_dead(oldest[1], fields_of(oldest))
  end
end

-- define: give_up
-- uses: key, take_out, fields_of, publish_failed, keep_dead
-- Give a job up: a dead letter with its picture, and a failed result, also without room for it.
local function give_up(lane, entry, attempts, reason, most)
  local fields = fields_of(entry)
  take_out(lane, entry[1])
  local picture = fields.x or ''
  redis.call('PERSIST', key('picture', picture))
  redis.call('PERSIST', key('refs', string.match(picture, '^(.*):') or ''))
  publish_failed(lane, fields, reason)
  keep_dead(most, 'l', lane, 'n', attempts, 'w', reason, 'j', fields.j or '', 'x', picture,
    'm', fields.m or '')
end
