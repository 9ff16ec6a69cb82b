-- Take results. ARGV: limit, visibility in ms, then {partition, fencing token or '', cursor}...
-- The cursor is '>' for new results; an id goes through what was taken before, from after that id.
-- Reads and writes: lease:*, results:*, wanted, bell:*.
-- Answers {{partition, cursor, last id}...} and {{partition, deliveries, {id, fields}}...}, or {'lost', partition} when a token is not the present one.
local limit, visibility = tonumber(ARGV[1]), tonumber(ARGV[2])
local places, taken = {}, {}
even_when_full()
for i = 3, #ARGV, 3 do
  if ARGV[i + 1] ~= '' and redis.call('HGET', key('lease', ARGV[i]), 'token') ~= ARGV[i + 1] then
    return {'lost', ARGV[i]}
  end
end

local function take_again(partition, stream)
  local ended = redis.call('XPENDING', stream, 'processors', 'IDLE', visibility, '-', '+', limit - #taken)
  for _, one in ipairs(ended) do
    local entry = redis.call('XRANGE', stream, one[1], one[1])[1]
    if entry then
      redis.call('XCLAIM', stream, 'processors', 'processor', 0, one[1], 'JUSTID', 'RETRYCOUNT', one[4] + 1)
      taken[#taken + 1] = {partition, one[4] + 1, entry}
    else
      redis.call('XACK', stream, 'processors', one[1])
    end
  end
end

local function read(partition, stream, from)
  if #taken >= limit then return from end
  local found = redis.call('XREADGROUP', 'GROUP', 'processors', 'processor', 'COUNT', limit - #taken,
    'STREAMS', stream, from)
  local entries = found and found[1][2] or {}
  for _, entry in ipairs(entries) do
    local deliveries = 1
    if from ~= '>' then
      deliveries = redis.call('XPENDING', stream, 'processors', entry[1], entry[1], 1)[1][4]
    end
    taken[#taken + 1] = {partition, deliveries, entry}
  end
  if from == '>' then
    if #entries > 0 then ring_if_wanted('results:' .. partition) end
    return from
  end
  if #entries == 0 then return read(partition, stream, '>') end
  return entries[#entries][1]
end

for i = 3, #ARGV, 3 do
  local partition, stream, cursor = ARGV[i], key('results', ARGV[i]), ARGV[i + 2]
  -- What arrives at an empty stream comes after any id, the first one included.
  local last = '0-0'
  local length = redis.call('XLEN', stream)
  if length > 0 then
    if ARGV[i + 1] == '' and #taken < limit then take_again(partition, stream) end
    cursor = read(partition, stream, cursor)
    if #taken == 0 then
      local _
      _, last = waiting_in(stream, 'processors', length)
    end
  end
  places[#places + 1] = {partition, cursor, last}
end
return {places, taken}
