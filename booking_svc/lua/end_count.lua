-- The count is given up: another process may begin one. ARGV: token. Returns {'done'}.

if is_counted_by(ARGV[1]) then redis.call('DEL', COUNTING, JOURNAL) end
return { 'done' }
