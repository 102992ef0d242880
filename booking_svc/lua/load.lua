-- Puts in force what was counted in MongoDB and is held here, with what changed hands since.
--
-- ARGV: JSON {token, begun (ms), trust (ms), trust_per_cost, trust_at_most (ms), settling (ms), kept (ms), version, opens, closes (ms),
-- status, limit, types: {code: {capacity, bound, price}}, staged: [key, ...], lost: [[mark, born], ...]}; a staged key is
-- that of inventory.lua without the tag, a lost hold owns something that is sold, or that is not offered any more.
-- Returns {'loaded'}; or {'void'} with nothing changed: Redis was emptied meanwhile, or somebody else counts now.

local count, now = cjson.decode(ARGV[1]), now_ms()
local staged = tag .. ':staged:' .. count.token .. ':'
local journal = redis.call('LRANGE', JOURNAL, 1, -1)
if not is_counted_by(count.token) or redis.call('EXISTS', JOURNAL) == 0 then return { 'void' } end
if redis.call('HEXISTS', staged .. 'buyers', '-') == 0 then return { 'void' } end
for _, key in ipairs(count.staged) do
  if redis.call('EXISTS', staged .. key) == 0 then return { 'void' } end
end

local was_loaded = is_loaded()
local settle_at = was_loaded and tonumber(redis.call('HGET', TERMS, 'settle_at'))
local former, forget_at = redis.call('HGET', TERMS, 'keys'), math.max(count.closes, now) + count.kept
for _, key in ipairs(former and cjson.decode(former) or {}) do
  if key ~= 'holds' and key ~= 'expiries' then redis.call('UNLINK', tag .. ':' .. key) end
end
redis.call('DEL', TERMS, COUNTING, JOURNAL)

local keys = { 'holds', 'expiries' }
for _, key in ipairs(count.staged) do
  redis.call('RENAME', staged .. key, tag .. ':' .. key)
  keys[#keys + 1] = key
end

redis.call('HSET', HOLDS, '-', '') -- so that a missing key is an accident and not an empty one
redis.call('ZADD', EXPIRIES, '+inf', '-')
if redis.call('HLEN', HOLDS) ~= redis.call('ZCARD', EXPIRIES) then
  redis.call('DEL', EXPIRIES)
  redis.call('ZADD', EXPIRIES, '+inf', '-')
  for _, hold in ipairs(redis.call('HVALS', HOLDS)) do
    if hold ~= '' then keep_hold(cjson.decode(hold)) end
  end
end
local function is_offered(unit)
  local offered = count.types[unit[1]]
  return offered and (redis.call('EXISTS', rows_key(unit[1])) == 0 or unit[2] <= offered.bound)
end

-- What nobody else has stays the hold's: MongoDB may have its booking, or get it in this moment.
local function keep_parts(hold)
  local slots, kept = slots_of(hold.buyer), {}
  for _, slot in ipairs(hold.slots) do
    if is_free(slot_in(slots, slot)) then kept[#kept + 1] = slot end
  end
  own_slots(hold.buyer, slots, kept, mark_of(hold))
  for _, unit in ipairs(hold.units) do
    if is_offered(unit) and is_free(owner_of(unit[1], unit[2])) then own(unit[1], unit[2], mark_of(hold)) end
  end
end

local function lose(mark, born)
  local hold = find_hold(mark)
  if not hold or hold.born ~= born then return end
  if hold.booking then keep_parts(hold) else end_hold(hold) end
end
for _, lost in ipairs(count.lost) do lose(lost[1], lost[2]) end

-- What was held since is kept, unless something of it is sold, or not offered any more.
local function can_keep(mark, taken)
  local function is_ours(owner) return is_free(owner) or owner == mark end
  local slots = slots_of(taken.buyer)
  for _, slot in ipairs(taken.slots) do
    if not is_ours(slot_in(slots, slot)) then return false end
  end
  for _, unit in ipairs(taken.units) do
    if not is_offered(unit) or not is_ours(owner_of(unit[1], unit[2])) then return false end
  end
  return true
end
for _, entry in ipairs(journal) do
  local what, mark, taken, to = unpack(cjson.decode(entry))
  if what == 'passed' then
    pass_on(taken, mark, to)
  elseif what == 'sold' then
    sell(mark, taken)
  elseif can_keep(mark, taken) then
    take(mark, taken)
  else
    lose(mark, taken.born)
  end
end

redis.call('HSET', TERMS, 'version', count.version, 'opens', count.opens, 'closes', count.closes,
  'status', count.status, 'limit', count.limit, 'run', run_id(), 'keys', cjson.encode(keys), 'counted', count.token,
  'forget_at', forget_at)
for code, offered in pairs(count.types) do
  redis.call('HSET', TERMS, 'type:' .. code, cjson.encode(offered))
  redis.call('DEL', searched_key(code))
end
if not was_loaded then
  -- A write that began before may end after the count: once it must have, all is counted again.
  redis.call('HSET', TERMS, 'settle_at', now + count.settling)
else
  local trust = math.min(math.max(count.trust, count.trust_per_cost * (now - count.begun)), count.trust_at_most)
  redis.call('HSET', TERMS, 'trusted_until', now + trust, 'stale_from', now + 2 * trust)
  if settle_at and settle_at > count.begun then redis.call('HSET', TERMS, 'settle_at', settle_at) end
end
redis.call('DEL', ON_SALE)
if count.closes > now then redis.call('SET', ON_SALE, count.version, 'PXAT', count.closes) end
keys[#keys + 1] = 'terms'
for _, key in ipairs(keys) do redis.call('PEXPIREAT', tag .. ':' .. key, forget_at) end
return { 'loaded' }
