-- The count goes on: its process lives. ARGV: token, lease (ms), life of the journal (ms). Returns {'done'}.

if is_counted_by(ARGV[1]) then
  redis.call('PEXPIRE', COUNTING, ARGV[2])
  redis.call('PEXPIRE', JOURNAL, ARGV[3])
end
return { 'done' }
