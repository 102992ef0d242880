-- Who owns each seat of the reserved types.
--
-- ARGV: the tag that the caller knows, then the codes of the reserved types.
-- Returns {'unchanged', tag}, or {'seats', tag, [mark of each hold], the owners of each type, ...}.

local now = now_ms()
local stop = look(now)
if stop then return stop end

local state = redis.call('HMGET', TERMS, 'counted', 'changes')
local current = state[1] .. '.' .. (state[2] or '0')
if ARGV[1] == current then return { 'unchanged', current } end
local answer = { 'seats', current, redis.call('HKEYS', HOLDS) }
for i = 2, #ARGV do answer[#answer + 1] = redis.call('GET', owners_key(ARGV[i])) or '' end
return answer
