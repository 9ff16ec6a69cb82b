-- Show something of a camera to those who watch. ARGV: preview or judged, camera, how many stay,
-- for how long in ms, what is shown.
-- uses: key
local name = ARGV[1] == 'preview' and key('preview', ARGV[2]) or key('judged', ARGV[2])
redis.call('XADD', name, 'MAXLEN', ARGV[3], '*', 'shown', ARGV[5])
redis.call('PEXPIRE', name, ARGV[4])
return 1
