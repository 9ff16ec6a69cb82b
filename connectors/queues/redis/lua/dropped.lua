-- How many live jobs were let go: {`lane:reason`, number}... flat. Reads: dropped.
-- uses: key
return redis.call('HGETALL', key('dropped'))
