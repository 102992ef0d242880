-- The booking at work on this hold came to nothing: MongoDB does not have it. The hold is its buyer's again, unless it
-- has expired, has lost something, or was made for that booking alone.
--
-- ARGV: the hold's mark, the booking (its id). Returns {'done'}.

local now, hold = now_ms(), is_loaded() and find_hold(ARGV[1])
if hold and hold.booking == ARGV[2] and hold.busy_until <= now then
  if hold.booking_mark ~= hold.mark and now < hold.expires and is_whole(hold) then
    pass_on(hold, hold.booking_mark, hold.mark)
    hold.booking, hold.booking_mark, hold.busy_until, hold.doubt_at = nil, nil, nil, nil
    keep_hold(hold)
  else
    end_hold(hold)
  end
end
return { 'done' }
