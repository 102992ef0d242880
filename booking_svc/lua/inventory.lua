-- Shared by every script of this folder: holds.py puts it in front of each.
--
-- KEYS[1] is a concert's hash tag, `{concert_id}`. Every key is derived from it, so all of them lie in one slot:
--   <tag>:terms          hash: version, opens, closes (ms since 1970), status, limit, capacity:<code>. Missing: not loaded
--   <tag>:on_sale        expires when sales close
--   <tag>:claims         hash: claim -> owner (a hold's or booking's id). In it: held or sold; not in it: free
--   <tag>:counts         hash: taken:<code> = held + sold; next:<code> = the highest unit number ever given
--   <tag>:free:<code>    set of unit numbers that were given and came back
--   <tag>:holds          sorted set: owner -> expiry (ms). In it: held until then; a claim whose owner isn't: sold
--   <tag>:hold:<owner>   JSON list of the owner's claims
--   <tag>:loading        stands while one process loads the concert (holds.py sets and deletes it)
-- A claim is `unit:<code>:<number>` or `buyer:<user>:<slot>`.

local tag = KEYS[1]
local TERMS, ON_SALE, CLAIMS = tag .. ':terms', tag .. ':on_sale', tag .. ':claims'
local COUNTS, HOLDS = tag .. ':counts', tag .. ':holds'

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function hold_key(owner) return tag .. ':hold:' .. owner end
local function free_key(code) return tag .. ':free:' .. code end
local function unit_of(claim) return string.match(claim, '^unit:([^:]+):(%d+)$') end

-- Frees the claims that are still the owner's; what changed hands stays where it is.
local function free_claims(owner, claims)
  for _, claim in ipairs(claims) do
    if redis.call('HGET', CLAIMS, claim) == owner then
      redis.call('HDEL', CLAIMS, claim)
      local code, number = unit_of(claim)
      if code then
        redis.call('SADD', free_key(code), number)
        redis.call('HINCRBY', COUNTS, 'taken:' .. code, -1)
      end
    end
  end
end

local function forget_hold(owner)
  redis.call('DEL', hold_key(owner))
  redis.call('ZREM', HOLDS, owner)
end

-- An expired hold counts as free at the next look: every look begins here.
local function free_expired(now)
  for _, owner in ipairs(redis.call('ZRANGEBYSCORE', HOLDS, '-inf', now)) do
    free_claims(owner, cjson.decode(redis.call('GET', hold_key(owner)) or '[]'))
    forget_hold(owner)
  end
end
