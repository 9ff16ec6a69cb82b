-- What results led to is stored: forget them. ARGV: number of tokens, {partition, token}...,
-- then {partition, id, deliveries, flight, ordinal}...
-- Writes: results:*, flight:*. Answers {'ok'}, or {'lost', partition} and nothing is done.
even_when_full()
local first = 2 + 2 * tonumber(ARGV[1])
for i = 2, first - 1, 2 do
  if redis.call('HGET', key('lease', ARGV[i]), 'token') ~= ARGV[i + 1] then
    return {'lost', ARGV[i]}
  end
end
for i = first, #ARGV, 5 do
  local results, id = key('results', ARGV[i]), ARGV[i + 1]
  local told = redis.pcall('XPENDING', results, 'processors', id, id, 1)
  -- A delivery that came again since is somebody's to judge; only the newest one ends it.
  if not told.err and told[1] and told[1][4] == tonumber(ARGV[i + 2]) then
    redis.call('XACK', results, 'processors', id)
    redis.call('XDEL', results, id)
    if ARGV[i + 3] ~= '' then redis.call('SREM', key('flight', ARGV[i + 3]), ARGV[i + 4]) end
  end
end
return {'ok'}
