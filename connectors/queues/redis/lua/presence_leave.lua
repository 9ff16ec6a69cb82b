-- Be forgotten at once. ARGV: member. Writes: present, reports.
-- uses: key
redis.call('ZREM', key('present'), ARGV[1])
redis.call('HDEL', key('reports'), ARGV[1])
