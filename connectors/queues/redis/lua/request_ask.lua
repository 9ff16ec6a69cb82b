-- Ask all processes for something. ARGV: request, ms. Writes: request. Also where Redis is full, as
-- what is asked may be the way out.
-- uses: key, even_when_full
even_when_full()
redis.call('SET', key('request'), ARGV[1], 'PX', ARGV[2])
