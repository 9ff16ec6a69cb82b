-- Agree on a setting that all processes must share. ARGV: setting, value, ms. Answers the value that
-- holds: the first one's, for as long as somebody says it again. Writes: agreed:<setting>.
-- uses: key, even_when_full
local agreed = key('agreed', ARGV[1])
local held = redis.call('GET', agreed)
if held and held ~= ARGV[2] then return held end
even_when_full()
redis.call('SET', agreed, ARGV[2], 'PX', ARGV[3])
return ARGV[2]
