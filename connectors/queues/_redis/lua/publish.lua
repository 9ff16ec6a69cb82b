-- Hand results on, all or none. ARGV: room of a partition, then {partition, result}...
-- Writes: results:*, wanted. Answers {1}, or {0, partition without room, its bell's id}.
even_when_full()
local room, more = tonumber(ARGV[1]), {}
for i = 2, #ARGV, 2 do more[ARGV[i]] = (more[ARGV[i]] or 0) + 1 end
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
for i = 2, #ARGV, 2 do add_to(key('results', ARGV[i]), 'processors', 'r', ARGV[i + 1]) end
return {1}
