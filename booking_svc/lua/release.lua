-- Frees what the owner still has of these claims, held or sold. Repeating it changes nothing.
--
-- ARGV: the owner's mark, JSON of the claims, the mark of the hold that ends with it. Returns {'done'}.

local claims = cjson.decode(ARGV[2])
if is_loaded() then
  free(ARGV[1], claims)
  forget_hold(ARGV[3])
end
note('freed', ARGV[1], claims)
return { 'done' }
