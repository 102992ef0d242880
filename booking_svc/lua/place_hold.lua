-- Takes every ticket asked for, and as many of the buyer's slots, or nothing.
--
-- ARGV: JSON {mark, buyer, fingerprint, items, wanted: [[code, quantity, [number, ...]], ...], life (ms); of a booking
-- also booking (its id), busy (ms), redelivered}.
-- Returns {'held', hold, version of the terms}: this one, or the owner's earlier one for the same request; else a
-- refusal with nothing changed.

local request, now = cjson.decode(ARGV[1]), now_ms()
local stop = look(now) or outside_sales(now)
if stop then return stop end

local hold = find_hold(request.mark)
if hold then
  if hold.fingerprint ~= request.fingerprint then return { 'key_reused' } end
  if request.booking then
    if now < hold.busy_until and not request.redelivered then return { 'in_progress' } end
    hold.busy_until, hold.doubt_at, hold.expires = now + request.busy, now + request.life, now + request.life
    keep_hold(hold)
  end
  return held(hold)
end

local wanted, bounds, prices, unavailable = 0, {}, {}, {}
for _, want in ipairs(request.wanted) do
  local code, quantity, seats = want[1], want[2], want[3]
  local stored = redis.call('HGET', TERMS, 'type:' .. code)
  if not stored then return { 'unknown_ticket_type', code } end
  local offered = cjson.decode(stored)
  bounds[code], prices[code] = offered.bound, offered.price
  local named = {}
  for _, number in ipairs(seats) do
    if named[number] or redis.call('GETBIT', taken_key(code), number) == 1 then
      unavailable[#unavailable + 1] = { code, number }
    end
    named[number] = true
  end
  if #unavailable == 0 and left_of(code, offered.bound) < #seats + quantity then
    return deny(now, { 'sold_out', code })
  end
  wanted = wanted + #seats + quantity
end
if #unavailable > 0 then return deny(now, { 'tickets_unavailable', cjson.encode(unavailable) }) end

local limit, slots, stored_slots = tonumber(redis.call('HGET', TERMS, 'limit')), {}, slots_of(request.buyer)
local has = 0 -- slots beyond a limit that was lowered, too
for slot = 1, math.max(limit, #stored_slots / 8) do
  if not is_free(slot_in(stored_slots, slot)) then
    has = has + 1
  elseif #slots < wanted then
    slots[#slots + 1] = slot
  end
end
if has + wanted > limit then return deny(now, { 'limit_reached', tostring(limit), tostring(has) }) end

local units = {}
for _, want in ipairs(request.wanted) do
  local code, quantity, seats = want[1], want[2], want[3]
  for _, number in ipairs(seats) do
    own(code, number, request.mark)
    units[#units + 1] = { code, number }
  end
  local best = quantity > 0 and redis.call('EXISTS', rows_key(code)) == 1 and best_seats(code, quantity, bounds[code])
  for i = 1, quantity do
    local number = best and best[i] or redis.call('BITPOS', taken_key(code), 0)
    own(code, number, request.mark)
    units[#units + 1] = { code, number }
  end
end
own_slots(request.buyer, stored_slots, slots, request.mark)

local closes = tonumber(redis.call('HGET', TERMS, 'closes'))
hold = {
  mark = request.mark, buyer = request.buyer, fingerprint = request.fingerprint, items = request.items,
  slots = slots, units = units, prices = prices, born = now,
}
if request.booking then
  hold.booking, hold.booking_mark = request.booking, request.mark
  hold.busy_until, hold.doubt_at, hold.expires = now + request.busy, now + request.life, now + request.life
else
  hold.expires = math.min(now + request.life, closes)
end
keep_hold(hold)
note('held', hold.mark, hold)
return held(hold)
