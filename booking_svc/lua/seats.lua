-- Who owns each seat of the reserved types.
--
-- ARGV: the tag that the caller knows, then the codes of the reserved types.
-- Returns {'unchanged', tag, version of the terms}, or {'seats', tag, version, [mark of each hold], the owners of each
-- type, ...}.

local now = now_ms()
local stop = look(now)
if stop then return stop end

local state = redis.call('HMGET', TERMS, 'counted', 'changes', 'version')
local current = state[1] .. '.' .. (state[2] or '0')
if ARGV[1] == current then return { 'unchanged', current, state[3] } end
local answer = { 'seats', current, state[3], redis.call('HKEYS', HOLDS) }
for i = 2, #ARGV do answer[#answer + 1] = redis.call('GET', owners_key(ARGV[i])) or '' end
return answer
