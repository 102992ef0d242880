-- ARGV: mark, born (ms), buyer. Returns {'held', hold, version of the terms}, {'hold_expired'}, or what look answers.

local now = now_ms()
local stop = look(now)
if stop then return stop end

local hold = buyers_hold(ARGV[1], ARGV[2], ARGV[3])
return hold and held(hold) or { 'hold_expired' }
