-- Frees what the booking still has of this, held for it or sold. Repeating it changes nothing.
--
-- ARGV: the booking (its id), its mark, JSON of what it had taken, the mark of the hold that it was made of.
-- Returns {'done'}.

local taken = cjson.decode(ARGV[3])
if is_loaded() then
  free(ARGV[2], taken)
  end_booked_hold(ARGV[4], ARGV[1])
else
  note('passed', ARGV[2], taken, NOBODY)
end
return { 'done' }
