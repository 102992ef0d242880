-- Frees what the buyer holds. Of a hold that is gone nothing is left to do.
--
-- ARGV: mark, buyer. Returns {'released'}, or {'in_progress'}.

local now = now_ms()
local stop = look(now)
if stop then return stop end

local hold, refusal = hold_of(ARGV[1], ARGV[2], nil, now)
if refusal and refusal[1] ~= 'hold_expired' then return refusal end
if hold then
  free(hold.mark, hold)
  forget_hold(hold.mark)
end
return { 'released' }
