-- Forget a dead letter. ARGV: id. Answers 1 if there was one. Writes: dead, picture:*.
-- uses: key, even_when_full, fields_of, forget_dead
even_when_full()
local letter = redis.call('XRANGE', key('dead'), ARGV[1], ARGV[1])[1]
if not letter then return 0 end
forget_dead(letter[1], fields_of(letter))
return 1
