-- Shared by every script of this folder: scripts.py puts it in front of each.
--
-- KEYS[1] is a concert's hash tag, `{concert_id}`. Every key is derived from it, so all of them lie in one slot:
--   <tag>:terms              hash: version, opens, closes (ms since 1970), status, limit, type:<code> (JSON: capacity,
--                            price, bound: the units in all); and what load.lua says of itself: run, keys, counted, ...
--   <tag>:on_sale            expires when sales close
--   <tag>:taken:<code>       bitmap over unit numbers: held, sold or blocked. Bit 0 stands for nothing and is set
--   <tag>:owners:<code>      text of 8 bytes for each unit number: its owner's mark; zeros: it is free
--   <tag>:buyers             hash: buyer -> text of 8 bytes for each of the buyer's slots, likewise
--   <tag>:holds              hash: mark -> hold (JSON, see place_hold.lua); what no hold has, and is taken, is sold
--   <tag>:expiries           sorted set: mark -> expiry of the hold (ms); while it is booked, when that is in doubt
--   <tag>:rows:<code>        text of 7 digits for each row of a reserved type: its first seat; then the bound + 1
--   <tag>:accessible:<code>  bitmap of its accessible seats, where there are any
--   <tag>:blocked:<code>     bitmap of its seats that are never sold, where there are any
--   <tag>:searched:<code>    hash: number of seats -> seat before whose row no row has so many side by side
--   <tag>:counting           who counts the concert in MongoDB now: token and run id
--   <tag>:staged:<token>:... what was counted so far
--   <tag>:journal            list: what changed hands meanwhile
-- A mark is 8 printable bytes made of a hold's or a booking's id. Taken is {buyer, slots, units}; a unit {code, number}.

local tag = KEYS[1]
local TERMS, ON_SALE, BUYERS = tag .. ':terms', tag .. ':on_sale', tag .. ':buyers'
local HOLDS, EXPIRIES = tag .. ':holds', tag .. ':expiries'
local COUNTING, JOURNAL = tag .. ':counting', tag .. ':journal'
local NOBODY, BLOCKED = string.rep('\0', 8), 'blocked!'
local AT_A_LOOK = 100 -- expired holds freed by one script, which must not take long

local function taken_key(code) return tag .. ':taken:' .. code end
local function rows_key(code) return tag .. ':rows:' .. code end
local function searched_key(code) return tag .. ':searched:' .. code end
local function owners_key(code) return tag .. ':owners:' .. code end
local function blocked_key(code) return tag .. ':blocked:' .. code end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Another Redis process, and so perhaps another copy of the data, has another one.
local function run_id() return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') end

-- Whether the concert is here as it was loaded: by this Redis, and no key is missing.
local function is_loaded()
  local known = redis.call('HMGET', TERMS, 'run', 'keys')
  if known[1] ~= run_id() then return false end
  local keys = cjson.decode(known[2])
  for i, key in ipairs(keys) do keys[i] = tag .. ':' .. key end
  return redis.call('EXISTS', unpack(keys)) == #keys and redis.call('HLEN', HOLDS) == redis.call('ZCARD', EXPIRIES)
end

-- Whether somebody counts the concert in MongoDB now.
local function is_counting()
  local counting = redis.call('GET', COUNTING)
  return counting and string.match(counting, ' (%x+)$') == run_id()
end

local function is_counted_by(token) return redis.call('GET', COUNTING) == token .. ' ' .. run_id() end

local function owner_of(code, number)
  return redis.call('GETRANGE', owners_key(code), number * 8, number * 8 + 7)
end

-- How many of the type can still be had. Fewer than none, where more are taken than there are by now.
local function left_of(code, bound) return bound + 1 - redis.call('BITCOUNT', taken_key(code)) end

local function own(code, number, mark)
  local keys = redis.call('EXISTS', taken_key(code), rows_key(code))
  if keys == 0 then return end -- the terms do not offer this type any more
  if keys == 2 then redis.call('HINCRBY', TERMS, 'changes', 1) end
  if mark == NOBODY and redis.call('GETBIT', blocked_key(code), number) == 1 then mark = BLOCKED end
  redis.call('SETBIT', taken_key(code), number, mark == NOBODY and 0 or 1)
  redis.call('SETRANGE', owners_key(code), number * 8, mark)
  if mark == NOBODY then
    local searched = redis.call('HGETALL', searched_key(code))
    for i = 1, #searched, 2 do
      if tonumber(searched[i + 1]) > number then redis.call('HSET', searched_key(code), searched[i], number) end
    end
  end
end

local function slots_of(buyer) return redis.call('HGET', BUYERS, buyer) or '' end
local function slot_in(slots, slot) return string.sub(slots, slot * 8 - 7, slot * 8) end
local function is_free(mark) return mark == '' or mark == NOBODY end

local function own_slots(buyer, slots, numbers, mark)
  for _, slot in ipairs(numbers) do
    slots = slots .. string.rep('\0', slot * 8 - #slots)
    slots = string.sub(slots, 1, slot * 8 - 8) .. mark .. string.sub(slots, slot * 8 + 1)
  end
  if string.find(slots, '[^%z]') then
    redis.call('HSET', BUYERS, buyer, slots)
  else
    redis.call('HDEL', BUYERS, buyer)
  end
end

local function take(mark, taken)
  own_slots(taken.buyer, slots_of(taken.buyer), taken.slots, mark)
  for _, unit in ipairs(taken.units) do own(unit[1], unit[2], mark) end
end

local function owners_of(taken)
  local owners, slots = {}, slots_of(taken.buyer)
  for _, slot in ipairs(taken.slots) do owners[#owners + 1] = slot_in(slots, slot) end
  for _, unit in ipairs(taken.units) do owners[#owners + 1] = owner_of(unit[1], unit[2]) end
  return owners
end

-- While somebody counts, what changes hands is written down for load.lua.
local function note(what, mark, taken, to)
  if redis.call('EXISTS', COUNTING) == 1 then
    redis.call('RPUSHX', JOURNAL, cjson.encode({ what, mark, taken, to }))
  end
end

-- What of it is *from*'s becomes *to*'s.
local function pass_on(taken, from, to)
  note('passed', from, taken, to)
  local slots, ours = slots_of(taken.buyer), {}
  for _, slot in ipairs(taken.slots) do
    if slot_in(slots, slot) == from then ours[#ours + 1] = slot end
  end
  own_slots(taken.buyer, slots, ours, to)
  for _, unit in ipairs(taken.units) do
    if owner_of(unit[1], unit[2]) == from then own(unit[1], unit[2], to) end
  end
end

-- Frees what of it is still the owner's; what changed hands stays where it is.
local function free(mark, taken) pass_on(taken, mark, NOBODY) end

local function find_hold(mark)
  local stored = redis.call('HGET', HOLDS, mark)
  return stored and cjson.decode(stored)
end

local function keep_hold(hold)
  redis.call('HSET', HOLDS, hold.mark, cjson.encode(hold))
  redis.call('ZADD', EXPIRIES, hold.booking and hold.doubt_at or hold.expires, hold.mark)
end

local function held(hold) return { 'held', cjson.encode(hold), redis.call('HGET', TERMS, 'version') } end

local function forget_hold(mark)
  redis.call('HDEL', HOLDS, mark)
  redis.call('ZREM', EXPIRIES, mark)
end

local function mark_of(hold) return hold.booking_mark or hold.mark end

-- Whether the hold still owns all that it took.
local function is_whole(hold)
  for _, owner in ipairs(owners_of(hold)) do
    if owner ~= mark_of(hold) then return false end
  end
  return true
end

-- What it still owns is free.
local function end_hold(hold)
  free(mark_of(hold), hold)
  forget_hold(hold.mark)
end

-- Ends the hold that the booking was made of, if it is still that one.
local function end_booked_hold(mark, booking)
  local hold = find_hold(mark)
  if hold and hold.booking == booking then end_hold(hold) end
end

-- All of it becomes the booking's. A hold that had some of it is lost as a whole; one that is being booked, its booking
-- ends: MongoDB refuses it.
local function sell(mark, taken)
  for _, owner in ipairs(owners_of(taken)) do
    local hold = owner ~= mark and not is_free(owner) and find_hold(owner)
    if hold and not hold.booking then end_hold(hold) end
  end
  take(mark, taken)
end

-- An expired hold counts as free at the next look. Of one that nobody works at booking any more MongoDB knows more.
local function free_expired(now)
  local doubts, expired = {}, redis.call('ZRANGEBYSCORE', EXPIRIES, '-inf', now, 'LIMIT', 0, AT_A_LOOK)
  for _, mark in ipairs(expired) do
    local hold = find_hold(mark)
    if not hold then
      redis.call('ZREM', EXPIRIES, mark) -- now they differ in number, too, and are made anew
      return { 'not_loaded' }
    end
    if hold.booking then
      doubts[#doubts + 1] = hold
    else
      end_hold(hold)
    end
  end
  if #doubts > 0 then return { 'in_doubt', cjson.encode(doubts) } end
  if #expired == AT_A_LOOK then return { 'again' } end
end

-- An answer, if the concert is to be counted before anybody is told anything.
local function unready(now)
  if not is_loaded() then return { 'not_loaded' } end
  local settle = redis.call('HGET', TERMS, 'settle_at')
  if settle and now >= tonumber(settle) and not is_counting() then return { 'count_due' } end
end

-- Begins every script that asks. An answer: the script cannot go on before its caller has seen to that.
local function look(now) return unready(now) or free_expired(now) end

-- A refusal, if nothing is sold now.
local function outside_sales(now)
  local terms = redis.call('HMGET', TERMS, 'status', 'opens', 'closes')
  if terms[1] == 'cancelled' then return { 'concert_cancelled' } end
  if now >= tonumber(terms[3]) then return { 'sales_closed' } end
  if redis.call('EXISTS', ON_SALE) == 0 then return { 'not_loaded' } end
  if now < tonumber(terms[2]) then return { 'not_on_sale_yet' } end
end

-- A refusal, unless nobody has made sure lately that all that counts as taken is: then it is counted first.
local function deny(now, refusal)
  local terms = redis.call('HMGET', TERMS, 'trusted_until', 'stale_from')
  if terms[1] and (now < tonumber(terms[1]) or now < tonumber(terms[2]) and is_counting()) then return refusal end
  return { 'count_due' }
end

-- The buyer's hold of that mark that was born then; nil: it is gone.
local function buyers_hold(mark, born, buyer)
  local hold = find_hold(mark)
  return hold and hold.born == tonumber(born) and hold.buyer == buyer and hold or nil
end

-- An answer, if a booking is at work on the hold, other than the one given.
local function at_work(hold, booking, now)
  if not hold.booking or hold.booking == booking then return nil end
  if now < hold.busy_until then return { 'in_progress' } end
  return { 'in_doubt', cjson.encode({ hold }) }
end
