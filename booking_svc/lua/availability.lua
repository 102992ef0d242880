-- Returns {now (ms), opens, closes, status, code, capacity, taken, code, ...}, or {} when nothing is loaded.

local now = now_ms()
local terms = redis.call('HGETALL', TERMS)
if #terms == 0 then return {} end
free_expired(now)

local fields, answer = {}, {}
for i = 1, #terms, 2 do fields[terms[i]] = terms[i + 1] end
answer = { now, fields.opens, fields.closes, fields.status }
for field, value in pairs(fields) do
  local code = string.match(field, '^capacity:(.+)$')
  if code then
    local taken = redis.call('HGET', COUNTS, 'taken:' .. code) or '0'
    answer[#answer + 1] = code
    answer[#answer + 1] = value
    answer[#answer + 1] = taken
  end
end
return answer
