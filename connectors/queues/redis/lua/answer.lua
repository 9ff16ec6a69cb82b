-- Hand the results of jobs on and forget the jobs, all or none. Where a job is in the queue no more, but
-- its result is on its way, it was answered by another worker, or by this one and nobody heard of it.
-- ARGV: room of a partition, then {partition, result, ordinal, lane, id, picture, ms it is kept or ''}...
-- Writes: results:*, lane:*, picture:*, refs:*, wanted. Reads: flight:*.
-- Answers {1}, or {0, partition without room, its bell's id}.
-- uses: key, even_when_full, in_parts, add_to, without_room, take_out, let_go
even_when_full()
local full = without_room(tonumber(ARGV[1]), 2, 7)
if full then return full end
local gone = {}

local function is_on_its_way(lane, picture, ordinal)
  local flight = string.match(lane, '^[^:]*') .. ':' .. (string.match(picture, '^(.*):') or '')
  return redis.call('SISMEMBER', key('flight', flight), ordinal) == 1
end

for i = 2, #ARGV, 7 do
  local lane, picture = ARGV[i + 3], ARGV[i + 5]
  local here = take_out(lane, ARGV[i + 4])
  if here then let_go(picture, ARGV[i + 6], gone) end
  if here or not is_on_its_way(lane, picture, ARGV[i + 2]) then
    add_to(key('results', ARGV[i]), 'processors', 'r', ARGV[i + 1])
  end
end
in_parts(gone, function(...) redis.call('UNLINK', ...) end)
return {1}
