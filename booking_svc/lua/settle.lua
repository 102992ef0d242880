-- The booking is written: its hold becomes sold, which is a claim without a hold.
--
-- ARGV: owner. Returns 1, or 0 when the hold had expired (the next one to take its units learns from MongoDB).

local owner = ARGV[1]
if redis.call('EXISTS', hold_key(owner)) == 0 then return 0 end
forget_hold(owner)
return 1
