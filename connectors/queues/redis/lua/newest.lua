-- The newest picture in these lanes: {captured_at, bytes}, or {}. ARGV: lanes...
-- Reads: lane:*, picture:*. Writes nothing.
-- uses: key, fields_of, meta_of
local newest, at = false, false
for _, lane in ipairs(ARGV) do
  for _, entry in ipairs(redis.call('XREVRANGE', key('lane', lane), '+', '-', 'COUNT', 3)) do
    local fields = fields_of(entry)
    local captured_at = meta_of(fields).captured_at
    local shown = key('picture', fields.x or '')
    if tonumber(captured_at) and (not at or tonumber(captured_at) > tonumber(at))
      and redis.call('EXISTS', shown) == 1 then
      newest, at = shown, captured_at
    end
  end
end
if not newest then return {} end
return {at, redis.call('GET', newest)}
