-- Makes sure that what new terms take away is still there, and keeps the seats among it until they are in force.
--
-- ARGV: JSON {mark, capacities: {code: capacity}, seats: [[code, number], ...], first_settled (ms), life (ms)}; of
-- capacities those are lowered in Redis already. Returns {'withheld'}; {'capacity_below_sold', code, how many are taken};
-- {'tickets_unavailable', JSON [[code, number], ...]}; {'unsettled'}: Redis was lost, and a write that began before may
-- still be under way.

local request, now = cjson.decode(ARGV[1]), now_ms()
local stop = look(now)
if stop then return stop end
local settle = redis.call('HGET', TERMS, 'settle_at')
if settle and tonumber(settle) > request.first_settled then return { 'unsettled' } end

for code, capacity in pairs(request.capacities) do
  local taken = redis.call('BITCOUNT', taken_key(code)) - 1
  if taken > capacity then return deny(now, { 'capacity_below_sold', code, tostring(taken) }) end
end

local unavailable = {}
for _, seat in ipairs(request.seats) do
  local owner = owner_of(seat[1], seat[2])
  if not is_free(owner) and owner ~= request.mark then unavailable[#unavailable + 1] = seat end
end
if #unavailable > 0 then return deny(now, { 'tickets_unavailable', cjson.encode(unavailable) }) end

if #request.seats > 0 then
  local hold = {
    mark = request.mark, buyer = '', fingerprint = '', items = '[]', slots = {}, units = request.seats, prices = {},
    born = now, expires = now + request.life,
  }
  for _, seat in ipairs(request.seats) do own(seat[1], seat[2], request.mark) end
  keep_hold(hold)
  note('held', hold.mark, hold)
end
return { 'withheld' }
