-- Hand results on, all or none. ARGV: room of a partition, the lease of a camera and the token of the
--   sampler that says so, or '' twice, then {partition, result}...
-- Writes: results:*, wanted. Answers {1}, {0, partition without room, its bell's id}, or {-1} where
--   another sampler has the camera by now.
-- uses: key, even_when_full, is_taken, add_to, without_room
even_when_full()
if is_taken(ARGV[2], ARGV[3]) then return {-1} end
local full = without_room(tonumber(ARGV[1]), 4, 2)
if full then return full end
for i = 4, #ARGV, 2 do add_to(key('results', ARGV[i]), 'processors', 'r', ARGV[i + 1]) end
return {1}
