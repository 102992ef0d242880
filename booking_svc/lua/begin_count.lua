-- Lets one process at a time count the concert in MongoDB, and begins the journal of what is sold and freed meanwhile.
--
-- ARGV: token, life (ms). Returns {'begun', now (ms)}, or {'busy'}.

if not redis.call('SET', COUNTING, ARGV[1], 'NX', 'PX', ARGV[2]) then return { 'busy' } end
redis.call('DEL', JOURNAL)
return { 'begun', tostring(now_ms()) }
