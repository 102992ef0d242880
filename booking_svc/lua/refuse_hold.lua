-- Whether place_hold.lua would refuse this now, to whoever asks with a new mark; it only reads. The gateway calls it.
--
-- ARGV: ticket type, quantity. Returns the refusal; {'perhaps_not'}; or why nobody can tell: what look answers.

local code, quantity, now = ARGV[1], tonumber(ARGV[2]), now_ms()
local offered = redis.call('HGET', TERMS, 'type:' .. code)
if not offered then return { 'perhaps_not' } end
local refusal = unready(now) or outside_sales(now)
if refusal then return refusal end
if redis.call('ZCOUNT', EXPIRIES, '-inf', now) == 0 and left_of(code, cjson.decode(offered).bound) < quantity then
  refusal = deny(now, { 'sold_out', code })
end
return refusal or { 'perhaps_not' }
