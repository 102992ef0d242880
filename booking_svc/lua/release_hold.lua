-- Frees what the buyer holds. Of a hold that is gone nothing is left to do.
--
-- ARGV: mark, born (ms), buyer. Returns {'released'}, {'in_progress'}, or what look answers.

local now = now_ms()
local stop = look(now)
if stop then return stop end

local hold = buyers_hold(ARGV[1], ARGV[2], ARGV[3])
if not hold then return { 'released' } end
local busy = at_work(hold, nil, now)
if busy then return busy end
end_hold(hold)
return { 'released' }
