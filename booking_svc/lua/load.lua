-- Sets the terms and recounts: what MongoDB says is sold, and what is held here; anything else is free.
--
-- ARGV: version, opens, closes (ms), status, limit, JSON {code: capacity}, JSON [[owner, [claim, ...]], ...] of the sold.
-- Returns 1, or 0 when newer terms were already there.

local version = tonumber(redis.call('HGET', TERMS, 'version') or -1)
if version > tonumber(ARGV[1]) then return 0 end
local now = now_ms()
free_expired(now)

local held = {}
for _, owner in ipairs(redis.call('ZRANGE', HOLDS, 0, -1)) do
  held[#held + 1] = { owner, cjson.decode(redis.call('GET', hold_key(owner)) or '[]') }
end
local capacities = cjson.decode(ARGV[6])
redis.call('DEL', CLAIMS, COUNTS, TERMS)

local given = {}
for code in pairs(capacities) do given[code] = {} end
local function claim_all(bookings)
  for _, booking in ipairs(bookings) do
    for _, claim in ipairs(booking[2]) do
      if redis.call('HSETNX', CLAIMS, claim, booking[1]) == 1 then
        local code, number = unit_of(claim)
        if code then
          given[code] = given[code] or {}
          given[code][tonumber(number)] = true
        end
      end
    end
  end
end
claim_all(cjson.decode(ARGV[7]))
claim_all(held)

for code, numbers in pairs(given) do
  local taken, highest = 0, 0
  for number in pairs(numbers) do
    taken = taken + 1
    if number > highest then highest = number end
  end
  redis.call('DEL', free_key(code))
  for number = 1, highest do
    if not numbers[number] then redis.call('SADD', free_key(code), number) end
  end
  redis.call('HSET', COUNTS, 'taken:' .. code, taken, 'next:' .. code, highest)
end

redis.call('HSET', TERMS, 'version', ARGV[1], 'opens', ARGV[2], 'closes', ARGV[3], 'status', ARGV[4], 'limit', ARGV[5])
for code, capacity in pairs(capacities) do redis.call('HSET', TERMS, 'capacity:' .. code, capacity) end
redis.call('DEL', ON_SALE)
if tonumber(ARGV[3]) > now then redis.call('SET', ON_SALE, ARGV[1], 'PXAT', ARGV[3]) end
return 1
