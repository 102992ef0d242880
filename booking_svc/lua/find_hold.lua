-- ARGV: mark, buyer. Returns {'held', hold, version of the terms}, or {'hold_expired'}.

local now = now_ms()
local stop = look(now)
if stop then return stop end

local hold = find_hold(ARGV[1])
if not hold or hold.buyer ~= ARGV[2] then return { 'hold_expired' } end
return held(hold)
