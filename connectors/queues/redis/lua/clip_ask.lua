-- Ask for clips of a camera. ARGV: the camera, ms that wishes stay, and for each its reference and
-- what is wanted, as `until|wish`. Writes: clips:<camera>.
-- uses: key
local clips = key('clips', ARGV[1])
for i = 3, #ARGV, 2 do redis.call('HSET', clips, ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', clips, ARGV[2])
return 1
