-- MongoDB, which is the law, says that this is the booking's; whoever holds it here loses it, and what the booking's own
-- hold has beside it is free.
--
-- ARGV: the booking (its id), its mark, JSON of what it has taken, the mark of the hold that it was made of.
-- Returns {'done'}.

local taken = cjson.decode(ARGV[3])
if is_loaded() then
  end_booked_hold(ARGV[4], ARGV[1])
  sell(ARGV[2], taken)
end
note('sold', ARGV[2], taken)
return { 'done' }
