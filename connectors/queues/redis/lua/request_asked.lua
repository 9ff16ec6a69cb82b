-- What all processes are asked for now, or nothing. Reads: request.
-- uses: key
return redis.call('GET', key('request'))
