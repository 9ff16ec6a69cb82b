-- Let others have it. ARGV: what, token. Writes: lease:<what>.
-- uses: key
local lease = key('lease', ARGV[1])
if redis.call('HGET', lease, 'token') == ARGV[2] then redis.call('DEL', lease) end
