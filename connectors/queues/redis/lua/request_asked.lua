-- What all processes are asked for now, or nothing. Reads: request.
return redis.call('GET', key('request'))
