-- Returns {'availability', JSON {now, opens, closes (ms), status, types: {code: [capacity, available]}}}.

local now = now_ms()
local stop = look(now)
if stop then return stop end

local fields, stored = {}, redis.call('HGETALL', TERMS)
for i = 1, #stored, 2 do fields[stored[i]] = stored[i + 1] end
local answer = {
  now = now, opens = tonumber(fields.opens), closes = tonumber(fields.closes), status = fields.status, types = {},
}
for field, value in pairs(fields) do
  local code = string.match(field, '^type:(.+)$')
  if code then
    local offered = cjson.decode(value)
    answer.types[code] = { offered.capacity, math.max(0, left_of(code, offered.bound)) }
  end
end
return { 'availability', cjson.encode(answer) }
