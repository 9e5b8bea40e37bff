-- For wrk: sends the requests of a file in turn, each there as its length in bytes, a line feed, and its bytes. Prints what load.js prints.
local requests = {}
local sent = 0

function init (args)
  local file = assert(io.open(args[1], 'rb'))
  while true do
    local length = file:read('*n')
    if not length then break end
    file:read(1)
    requests[#requests + 1] = file:read(length)
  end
  file:close()
end

function request ()
  sent = sent % #requests + 1
  return requests[sent]
end

function done (summary, latency)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('\n{"count":%d,"seconds":%f,"failed":%d,"p50":%f,"p99":%f}\n', summary.requests, summary.duration / 1e6, failed, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
