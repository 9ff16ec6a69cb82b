-- Answer a wish; one that has grown since stays. ARGV: the lease of the camera and the token of the
-- sampler that says so, or '' twice, the camera, the reference, until when it was wanted, the answer,
-- ms that answers stay. Writes: clips:<camera>, clipped. Answers 1, or -1 where another sampler has
-- the camera by now.
-- uses: key, even_when_full, is_taken
even_when_full()
if is_taken(ARGV[1], ARGV[2]) then return -1 end
local clips = key('clips', ARGV[3])
local wish = redis.call('HGET', clips, ARGV[4])
local wanted = wish and tonumber(string.match(wish, '^([^|]*)|') or '')
if wanted and wanted <= tonumber(ARGV[5]) then redis.call('HDEL', clips, ARGV[4]) end
redis.call('HSET', key('clipped'), ARGV[4], ARGV[6])
redis.call('PEXPIRE', key('clipped'), ARGV[7])
return 1
