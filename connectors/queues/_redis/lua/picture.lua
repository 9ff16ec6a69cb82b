-- A picture's bytes, or nil. ARGV: picture. Reads: picture:<picture>.
return redis.call('HGET', key('picture', ARGV[1]), 'd')
