-- A picture's bytes, or nil. ARGV: picture. Reads: picture:<picture>.
-- uses: key
return redis.call('GET', key('picture', ARGV[1]))
