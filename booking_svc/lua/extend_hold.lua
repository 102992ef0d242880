-- Keeps the hold for a while from now, but no longer than a hold may last in all, and not past the close of sales.
--
-- ARGV: mark, buyer, life (ms), longest (ms). Returns {'held', hold, version of the terms}, or a refusal.

local now = now_ms()
local stop = look(now) or outside_sales(now)
if stop then return stop end

local hold, refusal = hold_of(ARGV[1], ARGV[2], nil, now)
if refusal then return refusal end
local closes = tonumber(redis.call('HGET', TERMS, 'closes'))
hold.expires = math.max(hold.expires, math.min(now + ARGV[3], hold.born + ARGV[4], closes))
keep_hold(hold)
return held(hold)
