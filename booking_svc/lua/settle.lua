-- The booking is written: its hold becomes sold, which is being taken without a hold.
--
-- ARGV: the hold's mark, the booking (its id). Returns {'settled'}; {'gone'} if there is no such hold any more, or not all of
-- it: it expired, Redis lost it, or the booking was cancelled in this moment.

local hold = is_loaded() and find_hold(ARGV[1])
if not hold or hold.booking ~= ARGV[2] then return { 'gone' } end
if not is_whole(hold) then return { 'gone' } end
forget_hold(hold.mark)
redis.call('HINCRBY', TERMS, 'changes', 1)
note('sold', hold.booking_mark, hold)
return { 'settled' }
