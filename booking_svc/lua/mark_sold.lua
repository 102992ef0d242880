-- MongoDB, which is the law, says that these claims are the owner's; whoever holds them here loses them.
--
-- ARGV: the owner's mark, JSON of its claims, the mark of the hold that ends with it. Returns {'done'}.

local claims = cjson.decode(ARGV[2])
if is_loaded() then
  take(ARGV[1], claims)
  forget_hold(ARGV[3])
end
note('sold', ARGV[1], claims)
return { 'done' }
