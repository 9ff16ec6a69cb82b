-- Hand results on, all or none. ARGV: room of a partition, then {partition, result}...
-- Writes: results:*, wanted. Answers {1}, or {0, partition without room, its bell's id}.
even_when_full()
local full = without_room(tonumber(ARGV[1]), 2, 2)
if full then return full end
for i = 2, #ARGV, 2 do add_to(key('results', ARGV[i]), 'processors', 'r', ARGV[i + 1]) end
return {1}
