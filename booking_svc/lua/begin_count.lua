-- Lets one process at a time count the concert in MongoDB, and begins the journal of what is sold and freed meanwhile.
-- Who had begun before Redis was started again is not waited for.
--
-- ARGV: token, life (ms). Returns {'begun', now (ms)}, or {'busy'}.

if is_counting() then return { 'busy' } end
redis.call('SET', COUNTING, ARGV[1] .. ' ' .. run_id(), 'PX', ARGV[2])
redis.call('DEL', JOURNAL)
return { 'begun', tostring(now_ms()) }
