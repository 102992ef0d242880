-- Some of the holds, for a count: those that own all that they took, and those that have lost something of it. Where the
-- concert is not as it was loaded nobody can tell, and they count as whole.
--
-- ARGV: cursor ('0' begins), how many about. Returns {'holds', next cursor ('0' ends), {hold, ...}, {lost hold, ...}}.

local loaded = is_loaded()
local scanned, whole, lost = redis.call('HSCAN', HOLDS, ARGV[1], 'COUNT', ARGV[2]), {}, {}
for i = 2, #scanned[2], 2 do
  local stored = scanned[2][i]
  if stored ~= '' then
    local list = loaded and not is_whole(cjson.decode(stored)) and lost or whole
    list[#list + 1] = stored
  end
end
return { 'holds', scanned[1], whole, lost }
