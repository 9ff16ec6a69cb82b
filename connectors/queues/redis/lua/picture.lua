-- A picture's bytes, or nil. ARGV: picture. Reads: picture:<picture>.
return redis.call('GET', key('picture', ARGV[1]))
