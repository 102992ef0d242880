-- The best seats of a reserved type, for place_hold.lua. scripts.py puts it in front of each script.

local function accessible_key(code) return tag .. ':accessible:' .. code end

local MASKS = { [0] = 128, 64, 32, 16, 8, 4, 2, 1 }
local function is_set(bitmap, number)
  return bit.band(string.byte(bitmap, math.floor(number / 8) + 1) or 0, MASKS[number % 8]) ~= 0
end

local function next_free(code, from, bound)
  return from <= bound and redis.call('BITPOS', taken_key(code), 0, from, bound, 'BIT') or -1
end

-- Where *wanted* seats side by side begin in the row: so that no single seat is left over beside them, if that can be,
-- and then as near as can be to its middle; nil: it has not so many.
local function side_by_side(code, wanted, first, last, accessible)
  local first_byte = math.floor(first / 8)
  local bits = redis.call('GETRANGE', taken_key(code), first_byte, math.floor(last / 8))
  local best, fewest, least, byte = nil, nil, nil, nil

  local function choose(from, past) -- among the free seats between two that are not
    for begin = from, past - wanted do
      local singles = (begin - from == 1 and 1 or 0) + (past - wanted - begin == 1 and 1 or 0)
      local distance = math.abs(2 * begin + wanted - 1 - first - last)
      if not best or singles < fewest or (singles == fewest and distance < least) then
        best, fewest, least = begin, singles, distance
      end
    end
  end

  local from = first
  for number = first, last do
    local bit_number = number % 8
    if bit_number == 0 or not byte then byte = string.byte(bits, (number - bit_number) / 8 - first_byte + 1) or 0 end
    if bit.band(byte, MASKS[bit_number]) ~= 0 or (accessible and is_set(accessible, number)) then
      choose(from, number)
      from = number + 1
    end
  end
  choose(from, last + 1)
  return best
end

-- The first of *wanted* seats side by side, in the first row that has them; nil: no row has.
-- What was searched in vain is not searched again: before the row of seat <tag>:searched:<code>[search] no row has them.
local function adjacent(code, wanted, bound, accessible, search)
  local rows = redis.call('GET', rows_key(code))
  local function first_of(row) return tonumber(string.sub(rows, row * 7 - 6, row * 7)) end

  local row, last_row, found = 1, #rows / 7 - 1, nil
  local seat = next_free(code, tonumber(redis.call('HGET', searched_key(code), search) or 1), bound)
  while seat > 0 and not found do
    local low, high = row, last_row -- the row of the seat
    while low < high do
      local middle = math.ceil((low + high) / 2)
      if first_of(middle) <= seat then low = middle else high = middle - 1 end
    end
    row = low
    local first, last = first_of(row), first_of(row + 1) - 1
    found = side_by_side(code, wanted, first, last, accessible)
    if not found then seat = next_free(code, last + 1, bound) end
  end
  redis.call('HSET', searched_key(code), search, found and first_of(row) or bound + 1)
  redis.call('PEXPIREAT', searched_key(code), redis.call('HGET', TERMS, 'forget_at'))
  return found
end

-- The first seats that are left: up to *wanted* that are not accessible, and the accessible ones among them.
local function scattered(code, wanted, bound, accessible)
  local seats, kept = {}, {}
  local seat = next_free(code, 1, bound)
  while seat > 0 and #seats < wanted do
    local list = accessible and is_set(accessible, seat) and kept or seats
    list[#list + 1] = seat
    seat = next_free(code, seat + 1, bound)
  end
  return seats, kept
end

-- Side by side where there are so many; the accessible seats only where there are not enough others.
local function best_seats(code, wanted, bound)
  local accessible, seats, kept = redis.call('GET', accessible_key(code)) or nil, nil, nil
  local first = adjacent(code, wanted, bound, accessible, wanted)
  if not first then
    seats, kept = scattered(code, wanted, bound, accessible)
    if #seats == wanted then return seats end
    first = adjacent(code, wanted, bound, nil, 'of all ' .. wanted)
    for i = 1, wanted - #seats do seats[#seats + 1] = kept[i] end
    if not first then return seats end
  end
  seats = {}
  for i = 1, wanted do seats[i] = first + i - 1 end
  return seats
end
