-- Counts a try at an account's password before it is looked at, or says how long to wait with it.
--
-- KEYS: of the account from this address, and of the address: hashes `tries`, `last` (ms); of the account from
-- addresses it has not been at home at, and from those it has: sorted sets, each try of the last hour by its time;
-- addresses at which the account is at home: sorted set.
-- ARGV: address, the try's mark, tries that are free of delay for the account here and for the address, tries an hour
-- for the account from strange addresses and from known ones, longest delays (ms) here and of the address.
-- Returns {seconds to wait, 1 if this is the first refusal since the last try}; {0, 0}: go on.

local HOUR = 3600000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local here, everywhere = KEYS[1], KEYS[2]
local known = redis.call('ZSCORE', KEYS[5], ARGV[1])
local account = known and KEYS[4] or KEYS[3]
local most = tonumber(known and ARGV[6] or ARGV[5])

local function delay(key, free, longest)
  local kept = redis.call('HMGET', key, 'tries', 'last')
  local beyond = tonumber(kept[1] or 0) - free
  if beyond < 0 then return 0 end
  return tonumber(kept[2]) + math.min(longest, 1000 * 2 ^ math.min(beyond, 30)) - now
end

local function count(key)
  redis.call('HINCRBY', key, 'tries', 1)
  redis.call('HSET', key, 'last', now)
  redis.call('HDEL', key, 'refused')
  redis.call('PEXPIRE', key, HOUR)
end

local wait = delay(here, tonumber(ARGV[3]), tonumber(ARGV[7]))
redis.call('ZREMRANGEBYSCORE', account, '-inf', now - HOUR)
if redis.call('ZCARD', account) >= most then
  local oldest = redis.call('ZRANGE', account, 0, 0, 'WITHSCORES')[2]
  wait = math.max(wait, tonumber(oldest) + HOUR - now)
end
if not known then wait = math.max(wait, delay(everywhere, tonumber(ARGV[4]), tonumber(ARGV[8]))) end
if wait > 0 then
  local first = redis.call('HSETNX', here, 'refused', 1)
  redis.call('PEXPIRE', here, HOUR)
  return { math.ceil(wait / 1000), first }
end
count(here)
count(everywhere)
redis.call('ZADD', account, now, ARGV[2])
redis.call('PEXPIRE', account, HOUR)
return { 0, 0 }
