-- MongoDB, which is the law, says that these claims are the owner's; whoever held them here loses them.
--
-- ARGV: owner, JSON list of claims.

for _, claim in ipairs(cjson.decode(ARGV[2])) do
  local before = redis.call('HGET', CLAIMS, claim)
  redis.call('HSET', CLAIMS, claim, ARGV[1])
  local code, number = unit_of(claim)
  if code and not before then
    redis.call('SREM', free_key(code), number)
    redis.call('HINCRBY', COUNTS, 'taken:' .. code, 1)
  end
end
return 1
