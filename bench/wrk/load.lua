-- Makes wrk send prebuilt requests in rotation, and prints its totals as one line of JSON.
--
--     wrk ... -s load.lua <url> -- <requests file>
--
-- The file: each request as its length (4 bytes, native order, which is little-endian wherever wrk runs) and its
-- bytes. A single request becomes wrk's static one: then no Lua runs while it measures.

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local requests = {}
  while true do
    local head = file:read(4)
    if not head then
      break
    end
    local a, b, c, d = head:byte(1, 4)
    requests[#requests + 1] = file:read(a + 256 * (b + 256 * (c + 256 * d)))
  end
  file:close()
  if #requests == 1 then
    wrk.format = function() return requests[1] end
    return
  end
  local count, turn = #requests, 0
  function request()
    turn = turn % count + 1
    return requests[turn]
  end
end

function done(summary, latency)
  local e = summary.errors
  print(string.format(
    '{"requests":%d,"duration_us":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,'
    .. '"p50_us":%.0f,"p99_us":%.0f,"p999_us":%.0f,"max_us":%.0f}',
    summary.requests, summary.duration, summary.bytes, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
