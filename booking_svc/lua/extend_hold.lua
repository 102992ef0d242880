-- Keeps the hold for a while from now, but no longer than a hold may last in all, and not past the close of sales.
--
-- ARGV: mark, born (ms), buyer, life (ms), longest (ms). Returns {'held', hold, version of the terms}, or a refusal.

local now = now_ms()
local stop = look(now) or outside_sales(now)
if stop then return stop end

local hold = buyers_hold(ARGV[1], ARGV[2], ARGV[3])
if not hold then return { 'hold_expired' } end
local busy = at_work(hold, nil, now)
if busy then return busy end
local closes = tonumber(redis.call('HGET', TERMS, 'closes'))
hold.expires = math.max(hold.expires, math.min(now + ARGV[4], hold.born + ARGV[5], closes))
keep_hold(hold)
return held(hold)
