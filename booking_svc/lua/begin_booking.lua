-- Gives the hold to a booking: while that is written it neither expires nor is released, nor booked by another.
--
-- ARGV: mark, born (ms), buyer, booking (its id), its mark, life (ms), busy (ms), '1' if the request is redelivered.
-- Returns {'held', hold, version of the terms}, or a refusal.

local now = now_ms()
local stop = look(now) or outside_sales(now)
if stop then return stop end

local hold = buyers_hold(ARGV[1], ARGV[2], ARGV[3])
if not hold then return { 'hold_expired' } end
local busy = at_work(hold, ARGV[4], now)
if busy then return busy end
if hold.booking and now < hold.busy_until and ARGV[8] ~= '1' then return { 'in_progress' } end
if not hold.booking then pass_on(hold, hold.mark, ARGV[5]) end
hold.booking, hold.booking_mark = ARGV[4], ARGV[5]
hold.busy_until, hold.doubt_at = now + ARGV[7], now + ARGV[6]
keep_hold(hold)
return held(hold)
