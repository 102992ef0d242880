-- Takes every ticket asked for, and as many of the buyer's slots, or nothing.
--
-- ARGV: owner, buyer, life (ms), then code, quantity, code, quantity, ...
-- Returns {'held', terms version, JSON list of claims}, or {refusal} with nothing changed:
--   not_loaded, concert_cancelled, not_on_sale_yet, sales_closed, in_progress, limit_reached, sold_out, unknown_ticket_type

local owner, buyer, life = ARGV[1], ARGV[2], tonumber(ARGV[3])
local now = now_ms()

local terms = redis.call('HMGET', TERMS, 'version', 'opens', 'closes', 'status', 'limit')
if not terms[1] then return { 'not_loaded' } end
if terms[4] == 'cancelled' then return { 'concert_cancelled' } end
if now >= tonumber(terms[3]) then return { 'sales_closed' } end
if redis.call('EXISTS', ON_SALE) == 0 then return { 'not_loaded' } end
if now < tonumber(terms[2]) then return { 'not_on_sale_yet' } end

free_expired(now)
if redis.call('EXISTS', hold_key(owner)) == 1 then return { 'in_progress' } end

local wanted = 0
for i = 4, #ARGV, 2 do
  local code, quantity = ARGV[i], tonumber(ARGV[i + 1])
  local capacity = redis.call('HGET', TERMS, 'capacity:' .. code)
  if not capacity then return { 'unknown_ticket_type' } end
  local taken = tonumber(redis.call('HGET', COUNTS, 'taken:' .. code) or 0)
  if taken + quantity > tonumber(capacity) then return { 'sold_out' } end
  wanted = wanted + quantity
end

local claims = {}
for slot = 1, tonumber(terms[5]) do
  if #claims == wanted then break end
  local claim = 'buyer:' .. buyer .. ':' .. slot
  if redis.call('HEXISTS', CLAIMS, claim) == 0 then claims[#claims + 1] = claim end
end
if #claims < wanted then return { 'limit_reached' } end

for _, claim in ipairs(claims) do redis.call('HSET', CLAIMS, claim, owner) end
for i = 4, #ARGV, 2 do
  local code = ARGV[i]
  for _ = 1, tonumber(ARGV[i + 1]) do
    local claim
    repeat  -- a number may be sold already where Redis was rolled back; it is passed over
      local number = redis.call('SPOP', free_key(code)) or redis.call('HINCRBY', COUNTS, 'next:' .. code, 1)
      claim = 'unit:' .. code .. ':' .. number
    until redis.call('HSETNX', CLAIMS, claim, owner) == 1
    claims[#claims + 1] = claim
    redis.call('HINCRBY', COUNTS, 'taken:' .. code, 1)
  end
end
redis.call('SET', hold_key(owner), cjson.encode(claims))
redis.call('ZADD', HOLDS, now + life, owner)
return { 'held', terms[1], cjson.encode(claims) }
