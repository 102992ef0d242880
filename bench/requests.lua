-- What wrk sends, and how it counts the answers.
--
-- wrk ... -s requests.lua URL METHOD THREADS FIRST PAUSE KEY TARGETS TOKENS
--   FIRST    the number of the first request; each goes on with the next target and the next token
--   PAUSE    milliseconds that a connection waits before a request, on average (exponentially spread); 0: not at all
--   KEY      what Idempotency-Keys begin with; `-`: none are sent
--   TARGETS  a file, a line each: path, tab, body
--   TOKENS   a file, a line each: an access token; `-`: none are sent
-- Prints one line of JSON at the end; `next` is the first number that no thread has sent. An answer is counted under its status, or the code of its problem document.

local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
  thread:set('id', #threads)
end

local function lines_of(name)
  local lines = {}
  if name ~= '-' then
    for line in io.lines(name) do lines[#lines + 1] = line end
  end
  return lines
end

function init(args)
  method, step, turn, key = args[1], tonumber(args[2]), tonumber(args[3]) + id, args[5]
  targets, tokens, counted = {}, lines_of(args[7]), {}
  for i, line in ipairs(lines_of(args[6])) do
    local path, body = string.match(line, '^(.-)\t(.*)$')
    targets[i] = { path = path, body = body ~= '' and body or nil }
  end
  local pause = tonumber(args[4])
  if pause > 0 then
    math.randomseed(id)
    function delay() return -pause * math.log(1 - math.random()) end
  end
end

function request()
  local target, headers = targets[turn % #targets + 1], {}
  if #tokens > 0 then headers['Authorization'] = 'Bearer ' .. tokens[turn % #tokens + 1] end
  if target.body then headers['Content-Type'] = 'application/json' end
  if key ~= '-' then headers['Idempotency-Key'] = key .. turn end
  turn = turn + step
  return wrk.format(method, target.path, headers, target.body)
end

function response(status, _, body)
  local name = status < 400 and tostring(status) or string.match(body, '"code": ?"([a-z_]+)"') or tostring(status)
  counted[name] = (counted[name] or 0) + 1
end

function done(summary, latency)
  local all, answers, next_ = {}, {}, 0
  for _, thread in ipairs(threads) do
    next_ = math.max(next_, thread:get('turn'))
    for name, number in pairs(thread:get('counted')) do all[name] = (all[name] or 0) + number end
  end
  for name, number in pairs(all) do answers[#answers + 1] = string.format('"%s": %d', name, number) end
  local errors = summary.errors
  io.write(string.format(
    '\n{"seconds": %f, "p50": %f, "p99": %f, "broken": %d, "next": %d, "answers": {%s}}\n',
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.timeout, next_, table.concat(answers, ', ')
  ))
end
