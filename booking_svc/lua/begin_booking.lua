-- Gives the hold to a booking: while that is written it neither expires nor is released, nor booked by another.
--
-- ARGV: mark, buyer, booking (its id), its mark, life (ms), busy (ms), '1' if the request is resumed.
-- Returns {'held', hold, version of the terms}, or a refusal.

local now = now_ms()
local stop = look(now) or outside_sales(now)
if stop then return stop end

local hold, refusal = hold_of(ARGV[1], ARGV[2], ARGV[3], now)
if refusal then return refusal end
if hold.booking and now < hold.busy_until and ARGV[7] ~= '1' then return { 'in_progress' } end
if not hold.booking then pass_on(hold, hold.mark, ARGV[4]) end
hold.booking, hold.booking_mark = ARGV[3], ARGV[4]
hold.busy_until, hold.expires = now + ARGV[6], math.max(hold.expires, now + ARGV[5])
keep_hold(hold)
return held(hold)
