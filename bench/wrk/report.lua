-- Prints wrk's totals as one line of JSON. It defines no request() or response(), so wrk builds its
-- request once and runs no Lua while it measures.

function done(summary, latency)
  local e = summary.errors
  print(string.format(
    '{"requests":%d,"duration_us":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,'
    .. '"p50_us":%.0f,"p99_us":%.0f,"p999_us":%.0f,"max_us":%.0f}',
    summary.requests, summary.duration, summary.bytes, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
