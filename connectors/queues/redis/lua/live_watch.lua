-- Somebody watches cameras. ARGV: for how long in ms, then camera and width in pixels of each.
-- The widest of those who watch stays, as long as he says so again in half that time.
-- uses: key
local keep = tonumber(ARGV[1])
for i = 2, #ARGV, 2 do
  local name = key('watch', ARGV[i])
  local widest = tonumber(redis.call('GET', name) or '0') or 0
  if tonumber(ARGV[i + 1]) >= widest or redis.call('PTTL', name) < keep / 2 then
    redis.call('SET', name, ARGV[i + 1], 'PX', keep)
  end
end
return 1
