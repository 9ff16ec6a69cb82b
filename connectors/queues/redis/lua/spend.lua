-- Spend from several allowances at once, or from none of them. ARGV: amount, and for each allowance its
-- name, the most, and ms that it is remembered. Answers the number of the first one that has too
-- little left, or 0. Writes: spent:<name>.
-- uses: key, even_when_full
local amount = tonumber(ARGV[1])
for i = 2, #ARGV, 3 do
  local used = tonumber(redis.call('GET', key('spent', ARGV[i])) or '0') or 0
  if used + amount > tonumber(ARGV[i + 1]) then return (i + 1) / 3 end
end
even_when_full()
for i = 2, #ARGV, 3 do
  local spent = key('spent', ARGV[i])
  redis.call('INCRBY', spent, amount)
  redis.call('PEXPIRE', spent, ARGV[i + 2])
end
return 0
