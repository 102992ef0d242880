-- Puts in force what was counted in MongoDB, with what was sold and freed since, and what is held here.
--
-- ARGV: JSON {token, begun (ms), trust (ms), trust_per_cost, settling (ms), version, opens, closes (ms), status, limit,
-- types: {code: {capacity, bound, price}}, staged: [key, ...]}; a staged key is that of inventory.lua without the tag.
-- Returns {'loaded'}; or {'void'} with nothing changed: Redis was emptied meanwhile, or somebody else counts now.

local count, now = cjson.decode(ARGV[1]), now_ms()
local staged = tag .. ':staged:' .. count.token .. ':'
if not is_counted_by(count.token) then return { 'void' } end
for _, key in ipairs(count.staged) do
  if redis.call('EXISTS', staged .. key) == 0 then return { 'void' } end
end

local was_loaded = is_loaded()
local settle_at = was_loaded and tonumber(redis.call('HGET', TERMS, 'settle_at'))
local former = redis.call('HGET', TERMS, 'keys')
for _, key in ipairs(former and cjson.decode(former) or {}) do
  if key ~= 'holds' and key ~= 'expiries' then redis.call('UNLINK', tag .. ':' .. key) end
end
redis.call('DEL', TERMS)

local keys = { 'holds', 'expiries' }
for _, key in ipairs(count.staged) do
  redis.call('RENAME', staged .. key, tag .. ':' .. key)
  redis.call('PERSIST', tag .. ':' .. key)
  keys[#keys + 1] = key
end
for _, entry in ipairs(redis.call('LRANGE', JOURNAL, 0, -1)) do
  local what, mark, taken = unpack(cjson.decode(entry))
  if what == 'sold' then take(mark, taken) else free(mark, taken) end
end

-- A hold that has lost anything, to a booking that is not its own or to new terms, is lost as a whole.
local function keeps_all(hold)
  local function is_its_own(mark) return is_free(mark) or mark == hold.mark or mark == hold.booking_mark end
  local slots = slots_of(hold.buyer)
  for _, slot in ipairs(hold.slots) do
    if not is_its_own(slot_in(slots, slot)) then return false end
  end
  for _, unit in ipairs(hold.units) do
    if not count.types[unit[1]] or not is_its_own(owner_of(unit[1], unit[2])) then return false end
  end
  return true
end
local former_holds = redis.call('HGETALL', HOLDS)
redis.call('DEL', HOLDS, EXPIRIES)
redis.call('HSET', HOLDS, '-', '') -- so that a missing key is an accident and not an empty one
redis.call('ZADD', EXPIRIES, '+inf', '-')
for i = 2, #former_holds, 2 do
  local hold = former_holds[i] ~= '' and cjson.decode(former_holds[i])
  if hold and (hold.booking or now < hold.expires) and keeps_all(hold) then
    local owner = owner_of(hold.units[1][1], hold.units[1][2]) -- of one, and so of all: free, or its own booking
    if is_free(owner) then take(hold.booking_mark or hold.mark, hold) end
    keep_hold(hold)
  end
end

redis.call('HSET', TERMS, 'version', count.version, 'opens', count.opens, 'closes', count.closes,
  'status', count.status, 'limit', count.limit, 'run', run_id(), 'keys', cjson.encode(keys), 'counted', count.token)
for code, offered in pairs(count.types) do
  redis.call('HSET', TERMS, 'type:' .. code, cjson.encode(offered))
  redis.call('DEL', searched_key(code))
end
if not was_loaded then
  -- A write that began before may end after the count: once it must have, all is counted again.
  redis.call('HSET', TERMS, 'settle_at', now + count.settling)
else
  redis.call('HSET', TERMS, 'trusted_until', now + math.max(count.trust, count.trust_per_cost * (now - count.begun)))
  if settle_at and settle_at > count.begun then redis.call('HSET', TERMS, 'settle_at', settle_at) end
end
redis.call('DEL', ON_SALE, COUNTING, JOURNAL)
if count.closes > now then redis.call('SET', ON_SALE, count.version, 'PXAT', count.closes) end
return { 'loaded' }
