-- Exchanges a refresh id for its successor, once.
--
-- KEYS: the session. ARGV: the id presented, its successor, the client's mark, life of a session that is not
-- refreshed (s), life in all (s), grace (s) in which the same client gets the same successor again, prefix of the
-- sorted set of a user's sessions, the session's id.
-- Returns {'good', user, credentials version, refresh id that is good now, since when}, {'reused', user}: the id had been used,
-- and the session has ended here, or {'ended'}: there is none.

local now = tonumber(redis.call('TIME')[1])
local kept = redis.call('HMGET', KEYS[1], 'user_id', 'credentials_version', 'born', 'refresh_id', 'previous_id',
                        'rotated_at', 'client')
local user, version, born = kept[1], kept[2], kept[3]
local current, previous, rotated_at, client = kept[4], kept[5], kept[6], kept[7]
if not user then return { 'ended' } end
local sessions = ARGV[7] .. user

local function finish()
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', sessions, ARGV[8])
end

if now - tonumber(born) > tonumber(ARGV[5]) then
  finish()
  return { 'ended' }
end
if ARGV[1] == current then
  redis.call('HSET', KEYS[1], 'refresh_id', ARGV[2], 'previous_id', current, 'rotated_at', now, 'client', ARGV[3])
  redis.call('EXPIRE', KEYS[1], ARGV[4])
  redis.call('ZADD', sessions, now, ARGV[8])
  redis.call('EXPIRE', sessions, ARGV[4]) -- as long as the session, or ending all would miss it
  return { 'good', user, version, ARGV[2], now }
end
if ARGV[1] == previous and ARGV[3] == client and now - tonumber(rotated_at) <= tonumber(ARGV[6]) then
  return { 'good', user, version, current, rotated_at }
end
finish()
return { 'reused', user }
