-- Take results. ARGV: limit, visibility in ms, then {partition, fencing token or '', cursor}...
-- The cursor is '>' for new results; an id goes through what was taken before, from after that id.
-- Reads and writes: lease:*, results:*, wanted, bell:*.
-- Answers {{partition, cursor, last id}...} and {{partition, deliveries, {id, fields}}...},
-- or {'lost', partition} when a token is not the present one.
-- uses: key, even_when_full, waiting_in, ring_if_wanted
local limit, visibility = tonumber(ARGV[1]), tonumber(ARGV[2])
local places, taken, fresh, of_stream = {}, {}, {}, {}
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

-- What was taken before, from after an id; answers the next cursor.
local function read_again(partition, stream, from)
  local entries = redis.call('XREADGROUP', 'GROUP', 'processors', 'processor', 'COUNT',
    limit - #taken, 'STREAMS', stream, from)[1][2]
  for _, entry in ipairs(entries) do
    local told = redis.call('XPENDING', stream, 'processors', entry[1], entry[1], 1)[1]
    taken[#taken + 1] = {partition, told[4], entry}
  end
  return #entries == 0 and '>' or entries[#entries][1]
end

-- An equal share of what is new in each of these streams, and in no more of them than fit; answers
-- those that may have more, and those that were not asked.
local function read_new(streams)
  local share = math.max(1, math.floor((limit - #taken) / #streams))
  local asked, more = {}, {}
  for i, stream in ipairs(streams) do
    local those = i <= limit - #taken and asked or more
    those[#those + 1] = stream
  end
  for i = 1, #asked do asked[#asked + 1] = '>' end
  for _, one in ipairs(redis.call('XREADGROUP', 'GROUP', 'processors', 'processor', 'COUNT', share,
    'STREAMS', unpack(asked)) or {}) do
    local stream, entries = one[1], one[2]
    for _, entry in ipairs(entries) do taken[#taken + 1] = {of_stream[stream], 1, entry} end
    if #entries == share then more[#more + 1] = stream end
    ring_if_wanted('results:' .. of_stream[stream])
  end
  return more
end

for i = 3, #ARGV, 3 do
  local partition, cursor, stream = ARGV[i], ARGV[i + 2], key('results', ARGV[i])
  if redis.call('XLEN', stream) > 0 then
    if ARGV[i + 1] == '' and #taken < limit then take_again(partition, stream) end
    if cursor ~= '>' and #taken < limit then cursor = read_again(partition, stream, cursor) end
    if cursor == '>' then
      fresh[#fresh + 1] = stream
      of_stream[stream] = partition
    end
  end
  places[#places + 1] = {partition, cursor}
end
while #fresh > 0 and #taken < limit do fresh = read_new(fresh) end
if #taken == 0 then
  for _, place in ipairs(places) do
    -- What arrives at an empty stream comes after any id, the first one included.
    local stream, last, _ = key('results', place[1]), '0-0'
    local length = redis.call('XLEN', stream)
    if length > 0 then _, last = waiting_in(stream, 'processors', length) end
    place[3] = last
  end
end
return {places, taken}
