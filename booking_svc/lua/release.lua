-- Frees what the owner still has of these claims, held or sold. Repeating it changes nothing.
--
-- ARGV: owner, JSON list of claims.

free_claims(ARGV[1], cjson.decode(ARGV[2]))
forget_hold(ARGV[1])
return 1
