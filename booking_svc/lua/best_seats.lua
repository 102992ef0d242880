-- The best seats of a reserved type. scripts.py puts it in front of place_hold.lua.

local function rows_key(code) return tag .. ':rows:' .. code end
local function accessible_key(code) return tag .. ':accessible:' .. code end

local function bit_of(bitmap, number, first_byte)
  local byte = string.byte(bitmap, math.floor(number / 8) - first_byte + 1) or 0
  return bit.band(bit.rshift(byte, 7 - number % 8), 1)
end

local function next_free(code, from, bound) return redis.call('BITPOS', taken_key(code), 0, from, bound, 'BIT') end

-- *wanted* seats side by side, in the first row that has them, as near as can be to its middle; nil: no row has.
local function adjacent(code, wanted, bound, accessible)
  local rows = redis.call('GET', rows_key(code))
  local function first_of(row) return tonumber(string.sub(rows, row * 7 - 6, row * 7)) end

  local row, last_row = 1, #rows / 7 - 1
  local seat = next_free(code, 1, bound)
  while seat > 0 do
    local low, high = row, last_row -- the row of the seat
    while low < high do
      local middle = math.ceil((low + high) / 2)
      if first_of(middle) <= seat then low = middle else high = middle - 1 end
    end
    row = low
    local first, last = first_of(row), first_of(row + 1) - 1
    local first_byte = math.floor(first / 8)
    local taken = redis.call('GETRANGE', taken_key(code), first_byte, math.floor(last / 8))
    local free, best, best_distance = 0, nil, nil
    for number = first, last do
      local is_ours = bit_of(taken, number, first_byte) == 0 and bit_of(accessible, number, 0) == 0
      free = is_ours and free + 1 or 0
      local distance = math.abs(2 * number - wanted + 1 - first - last)
      if free >= wanted and (not best or distance < best_distance) then
        best, best_distance = number - wanted + 1, distance
      end
    end
    if best then
      local seats = {}
      for number = best, best + wanted - 1 do seats[#seats + 1] = number end
      return seats
    end
    if row == last_row then return nil end
    seat = next_free(code, last + 1, bound)
  end
end

-- The first seats that are left, the accessible ones last.
local function scattered(code, wanted, bound, accessible)
  local seats, kept = {}, {}
  local seat = next_free(code, 1, bound)
  while seat > 0 and #seats < wanted do
    local list = bit_of(accessible, seat, 0) == 0 and seats or kept
    list[#list + 1] = seat
    seat = seat < bound and next_free(code, seat + 1, bound) or -1
  end
  for i = 1, wanted - #seats do seats[#seats + 1] = kept[i] end
  return seats
end

local function best_seats(code, wanted, bound)
  local accessible = redis.call('GET', accessible_key(code)) or ''
  return adjacent(code, wanted, bound, accessible) or scattered(code, wanted, bound, accessible)
end
