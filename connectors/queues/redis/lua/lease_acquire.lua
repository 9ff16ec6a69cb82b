-- Own a partition, or a camera, for a while. ARGV: what, owner, ms, floor.
-- Answers the token, which is above the floor, or nil.
-- Writes: lease:<what>, tokens; also where Redis is full, as its owner lets results go.
-- uses: key, even_when_full
local lease = key('lease', ARGV[1])
local owner = redis.call('HGET', lease, 'owner')
if owner and owner ~= ARGV[2] then return false end
local token = redis.call('HGET', lease, 'token')
local floor = tonumber(ARGV[4])
-- A token of ours below what the store knows is from a Redis that was put back to an earlier time.
if not owner or (tonumber(token) or 0) < floor then
  even_when_full()
  -- The clock (microseconds) as a floor keeps tokens rising even where Redis has lost its data.
  -- What is not a number, or beyond any clock, was not written by us.
  local last = tonumber(redis.call('HGET', key('tokens'), ARGV[1]) or '0')
  if not last or not (last < 9e15) then last = 0 end
  local time = redis.call('TIME')
  token = string.format('%.0f', math.max(last + 1, floor + 1, time[1] * 1000000 + time[2]))
  redis.call('HSET', key('tokens'), ARGV[1], token)
  redis.call('HSET', lease, 'owner', ARGV[2], 'token', token)
end
redis.call('PEXPIRE', lease, ARGV[3])
return token
