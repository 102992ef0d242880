-- MongoDB, which is the law, says that this is the booking's; whoever holds it here loses it.
--
-- ARGV: the booking (its id), its mark, JSON of what it has taken, the mark of the hold that it was made of.
-- Returns {'done'}.

local taken = cjson.decode(ARGV[3])
note('sold', ARGV[2], taken)
if is_loaded() then
  take(ARGV[2], taken)
  end_booked_hold(ARGV[4], ARGV[1])
end
return { 'done' }
