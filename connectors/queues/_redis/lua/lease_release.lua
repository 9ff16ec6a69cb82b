-- Let others have a partition. ARGV: partition, token. Writes: lease:<partition>.
local lease = key('lease', ARGV[1])
if redis.call('HGET', lease, 'token') == ARGV[2] then redis.call('DEL', lease) end
