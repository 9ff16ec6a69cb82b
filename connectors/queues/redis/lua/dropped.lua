-- How many live jobs were let go: {`lane:reason`, number}... flat. Reads: dropped.
return redis.call('HGETALL', key('dropped'))
