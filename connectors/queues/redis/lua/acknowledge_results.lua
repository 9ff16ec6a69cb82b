-- What results led to is stored: forget them. ARGV: number of tokens, {partition, token}...,
-- then {partition, id, deliveries, flight, ordinal}...
-- Writes: results:*, flight:*. Answers {'ok'}, or {'lost', partition} and nothing is done.
-- uses: key, even_when_full, in_parts
even_when_full()
local first = 2 + 2 * tonumber(ARGV[1])
for i = 2, first - 1, 2 do
  if redis.call('HGET', key('lease', ARGV[i]), 'token') ~= ARGV[i + 1] then
    return {'lost', ARGV[i]}
  end
end
local owned = first > 2
local ended, answered = {}, {}

-- A delivery that came again since is somebody's to judge; only the newest one ends it. What an owner
-- has is nobody else's.
local function is_newest(results, id, deliveries)
  if owned then return true end
  local told = redis.pcall('XPENDING', results, 'processors', id, id, 1)
  return not told.err and told[1] and told[1][4] == tonumber(deliveries)
end

for i = first, #ARGV, 5 do
  local results = key('results', ARGV[i])
  if is_newest(results, ARGV[i + 1], ARGV[i + 2]) then
    ended[results] = ended[results] or {}
    table.insert(ended[results], i)
  end
end
for results, places in pairs(ended) do
  local ids, acknowledged = {}, 0
  for n, i in ipairs(places) do ids[n] = ARGV[i + 1] end
  in_parts(ids, function(...)
    acknowledged = acknowledged + redis.call('XACK', results, 'processors', ...)
  end)
  for n, i in ipairs(places) do
    -- Said before, it says nothing of a job that has been put again since.
    local first_said = acknowledged == #ids or redis.call('XRANGE', results, ids[n], ids[n])[1]
    local flight = ARGV[i + 3]
    if flight ~= '' and first_said then
      answered[flight] = answered[flight] or {}
      table.insert(answered[flight], ARGV[i + 4])
    end
  end
  in_parts(ids, function(...) redis.call('XDEL', results, ...) end)
end
for flight, ordinals in pairs(answered) do
  in_parts(ordinals, function(...) redis.call('SREM', key('flight', flight), ...) end)
end
return {'ok'}
