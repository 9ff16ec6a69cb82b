-- The answers that are not settled, or with ARGV none of these any more: they are written down.
-- Writes: clipped.
-- uses: key
local clipped = key('clipped')
if #ARGV == 0 then return redis.call('HVALS', clipped) end
for i = 1, #ARGV do redis.call('HDEL', clipped, ARGV[i]) end
return {}
