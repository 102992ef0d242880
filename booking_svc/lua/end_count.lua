-- The count is given up: another process may begin one. ARGV: token. Returns {'done'}.

if counts(ARGV[1]) then redis.call('DEL', COUNTING, JOURNAL) end
return { 'done' }
