-- Lets one process at a time count the concert in MongoDB, and begins the journal of what changes hands meanwhile.
-- Who had begun before Redis was started again is not waited for.
--
-- ARGV: token, lease (ms), life of the journal (ms). Returns {'begun', now (ms)} or {'busy'}.

if is_counting() then return { 'busy' } end
redis.call('SET', COUNTING, ARGV[1] .. ' ' .. run_id(), 'PX', ARGV[2])
redis.call('DEL', JOURNAL)
redis.call('RPUSH', JOURNAL, '') -- so that a missing journal is an accident and not an empty one
redis.call('PEXPIRE', JOURNAL, ARGV[3])
return { 'begun', tostring(now_ms()) }
