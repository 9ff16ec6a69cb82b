-- What the scripts share; it is put in front of each of them.
-- KEYS[1] of every script is the base, `{prefix}`: all keys begin with it and so share one slot, which
-- is why a script may also touch keys that are only known once it runs (see keys.py for the table).
local base = KEYS[1]
-- How long an empty lane, or a bell, is remembered.
local EMPTY_MS = 3600000

local function key(...)
  return base .. ':' .. table.concat({...}, ':')
end

-- A full Redis refuses commands that may grow it, except to a script that has written already.
-- What frees memory in the end calls this first.
local function even_when_full()
  redis.call('DEL', key('none'))
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- How many entries of a stream no consumer was given yet, and the last id that one was given.
local function waiting_in(stream, group)
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  if groups.err then return 0, '0-0' end
  for _, info in ipairs(groups) do
    local found = {}
    for i = 1, #info, 2 do found[info[i]] = info[i + 1] end
    if found.name == group then
      return redis.call('XLEN', stream) - found.pending, found['last-delivered-id']
    end
  end
  return 0, '0-0'
end

local function ensure_group(stream, group)
  if redis.call('EXISTS', stream) == 0 then
    redis.call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
  end
end

-- Bells: whoever waits blocks on a bell's stream from the id seen last, so no ring is ever missed.
local function bell_id(name)
  local last = redis.call('XREVRANGE', key('bell', name), '+', '-', 'COUNT', 1)
  return last[1] and last[1][1] or '0-0'
end

local function ring(name)
  redis.call('XADD', key('bell', name), 'MAXLEN', 1, '*', 'r', 1)
  redis.call('PEXPIRE', key('bell', name), EMPTY_MS)
end

-- Somebody waits for room in `name`: ring once there is some.
local function want_room(name)
  redis.call('SADD', key('wanted'), name)
  redis.call('PEXPIRE', key('wanted'), 3600000)
  return bell_id('room:' .. name)
end

local function ring_if_wanted(name)
  if redis.call('SREM', key('wanted'), name) == 1 then ring('room:' .. name) end
end

-- Take an entry out of a lane; an empty lane goes after a while, and all its kind with it.
local function take_out(lane, id)
  local stream = key('lane', lane)
  redis.call('XACK', stream, 'workers', id)
  local removed = redis.call('XDEL', stream, id)
  if removed == 1 and redis.call('XLEN', stream) == 0 then
    redis.call('PEXPIRE', stream, EMPTY_MS)
  end
  return removed == 1
end

local function fields_of(entry)
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  return fields
end

-- One job less refers to a picture. Without jobs it goes, or stays a while if it is kept for events.
local function let_go(picture)
  local name = key('picture', picture)
  if redis.call('EXISTS', name) == 0 then return end
  if redis.call('HINCRBY', name, 'n', -1) > 0 then return end
  local keep_ms = redis.call('HGET', name, 'k')
  if keep_ms then redis.call('PEXPIRE', name, keep_ms) else redis.call('UNLINK', name) end
end

-- Put a job that nobody answered among the results. True when there was room for it.
local function publish_failed(fields, reason, room)
  local results = key('results', fields.p)
  ensure_group(results, 'processors')
  if room and waiting_in(results, 'processors') >= room then return false end
  redis.call('XADD', results, '*', 'j', fields.j, 'w', reason)
  return true
end

-- Let a live job go: counted, and answered for while there is room among the results.
local function drop(lane, entry, reason, room)
  local fields = fields_of(entry)
  take_out(lane, entry[1])
  let_go(fields.x)
  redis.call('HINCRBY', key('dropped'), lane .. ':' .. reason, 1)
  if not publish_failed(fields, reason, room) then
    redis.call('SREM', key('flight', fields.f), fields.o)
  end
  return fields.j
end

-- Show a lane to the workers of its engine.
local function enter(engine, lane)
  local engines = key('ring', engine)
  local asleep = redis.call('ZCARD', engines) == 0
  redis.call('ZADD', engines, 'NX', redis.call('INCR', key('turns')), lane)
  if asleep then ring('jobs:' .. engine) end
end

local function forget_dead(id, fields)
  if fields.x then let_go(fields.x) end
  redis.call('XDEL', key('dead'), id)
end

local function keep_dead(most, ...)
  redis.call('XADD', key('dead'), '*', ...)
  while redis.call('XLEN', key('dead')) > most do
    local oldest = redis.call('XRANGE', key('dead'), '-', '+', 'COUNT', 1)[1]
    forget_dead(oldest[1], fields_of(oldest))
  end
end

-- Give a job up: a dead letter with its picture, and a failed result, also without room for it.
local function give_up(lane, entry, attempts, reason, most, answer)
  local fields = fields_of(entry)
  take_out(lane, entry[1])
  redis.call('PERSIST', key('picture', fields.x))
  if answer then publish_failed(fields, reason) end
  keep_dead(most, 'l', lane, 'n', attempts, 'w', reason, 'j', fields.j, 'x', fields.x,
    'f', fields.f, 'o', fields.o, 'p', fields.p, 't', fields.t)
end
