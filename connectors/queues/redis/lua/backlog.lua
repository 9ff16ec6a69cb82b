-- What waits, by engine: {engine, length, captured_at of the oldest live one or ''}... Writes
-- nothing. When a recording was taken says nothing of how long it waits.
-- uses: key, waiting_in, is_live, fields_of, meta_of
local reply = {}
for _, engine in ipairs(redis.call('SMEMBERS', key('engines'))) do
  local length, oldest = 0, false
  for _, lane in ipairs(redis.call('ZRANGE', key('ring', engine), 0, -1)) do
    local stream = key('lane', lane)
    local total, waiting, last = redis.call('XLEN', stream), 0, ''
    if total > 0 then waiting, last = waiting_in(stream, 'workers', total) end
    length = length + waiting
    local is_live = string.sub(lane, #engine + 1, #engine + 6) == ':live:'
    local entry = is_live and waiting > 0 and redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1)[1]
    local at = entry and meta_of(fields_of(entry)).captured_at
    if tonumber(at) and (not oldest or tonumber(at) < tonumber(oldest)) then oldest = at end
  end
  reply[#reply + 1] = {engine, length, oldest or ''}
end
return reply
