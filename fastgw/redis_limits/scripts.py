"""What Redis runs: each script is one atomic step, so no two nodes count on what the other is about to change (known-pains 2.3).

Owns the data model in Redis, drawn in docs/distributed-limits.md. Must not know who asks, or how Redis is reached.

A script gets the node's name, and numbers in one text, which native/remote writes: a text is one argument to pack and to parse.
"""

from typing import Final

from fastgw.redis_client import Script
from fastgw.redis_limits.slots import SLOTS

__all__ = ["BEAT", "COUNTING", "LIVES_MS", "NODES", "PROBE", "PROBE_KEY"]

LIVES_MS: Final = 5000
"""A node that was not heard of for so long shares no counts."""
NODES: Final = b"fastgw:limit:v1:nodes"
PROBE_KEY: Final = b"fastgw:limit:v1:probe:{%b}"
"""In the same slot as the key in it."""

_NUMBERS: Final = """
local n = {}
for word in string.gmatch(ARGV[2], '%d+') do n[#n + 1] = tonumber(word) end
"""

# A fixed window: a hash that lives as long as the window, with a field per node, which is what that node was granted; so the sum
# of the fields is never above the limit. `node~` is what the node knew of the others when Redis had lost it.
FIXED: Final = Script(
    _NUMBERS
    + """
local count, window, cost, give, nodes, spare, own, base, known, left = unpack(n)
local node, memory = ARGV[1], ARGV[1] .. '~'
local mine, others, least = 0, 0, 0
local held = redis.call('HGETALL', KEYS[1])
for i = 1, #held, 2 do
  local value = tonumber(held[i + 1])
  if held[i] == node then mine = value
  elseif held[i] == memory then least = value
  elseif string.sub(held[i], -1) ~= '~' then others = others + value end
end
local ttl = redis.call('PTTL', KEYS[1])
local was, was_least, was_ttl = mine, least, ttl
if ttl < 0 then                         -- begins; or lost its end
  ttl = left > 0 and left or window
elseif ttl > window then                -- an edit
  ttl = window
end
mine = math.max(mine - give, 0)
if left > 0 and ttl <= left + window / 2 then   -- what the node knows is of this window
  if was < base then least = math.max(least, known) end
  mine = math.max(mine, own)
end
others = math.max(others, least)
local rest, granted, lease = count - mine - others, 0, 0
if cost > 0 and cost <= rest then
  granted, mine, rest = cost, mine + cost, rest - cost
end
if nodes > 0 and rest > 0 then          -- to one that takes little, little
  lease = math.max(math.min(math.floor(rest / nodes), mine - spare), 0)
  mine = mine + lease
end
if mine ~= was then redis.call('HSET', KEYS[1], node, string.format('%.0f', mine)) end
if least ~= was_least then redis.call('HSET', KEYS[1], memory, string.format('%.0f', least)) end
if ttl ~= was_ttl then redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl)) end
return {granted, lease, mine, others, ttl}
"""
)

# A bucket: what it lacks to be full, in microseconds of the window per token: so all that is added or subtracted is whole.
BUCKET: Final = Script(
    _NUMBERS
    + """
local count, window, cost, burst = unpack(n)
local time = redis.call('TIME')
local now, token = time[1] * 1000000 + time[2], window * 1000
local held = redis.call('HMGET', KEYS[1], 'at', 'debt', 'token')
local debt, full, need = 0, burst * token, cost * token
if held[1] then
  debt = held[2] * (token / held[3])                      -- an edit of the window keeps the tokens
  debt = math.min(math.max(debt - math.max(now - held[1], 0) * count, 0), full)
end
if cost > burst then return {0, 0, math.ceil(debt / count / 1000), window} end
if debt + need > full then
  return {0, 0, math.ceil(debt / count / 1000), math.ceil((debt + need - full) / count / 1000)}
end
debt = debt + need
local whole = math.ceil(debt / count / 1000)
redis.call('HSET', KEYS[1], 'at', string.format('%.0f', now), 'debt', string.format('%.17g', debt), 'token', token)
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', whole + 1))
return {cost, math.floor((full - debt) / token), whole, 0}
"""
)

# A window that moves on: counts of windows aligned to the clock, as in native/limits, where the rule is explained.
SLIDING: Final = Script(
    _NUMBERS
    + """
local count, window, cost = unpack(n)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local index = math.floor(now / window)
local left = (index + 1) * window - now
local name = function(i) return string.format('%.0f/%.0f', window, i) end
local before = math.min(tonumber(redis.call('HGET', KEYS[1], name(index - 1)) or 0), count)
local used = tonumber(redis.call('HGET', KEYS[1], name(index)) or 0)
if cost > count then return {0, 0, left, window} end
if used > count - cost or before * left + (used + cost - 1) * window >= count * window then
  local wait
  if before > 0 and used <= count - cost then
    local at = math.ceil((count - used - cost + 1) * window / before) - 1
    wait = at < left and left - at or 0
  else
    local at = math.ceil((count - cost + 1) * window / used) - 1
    wait = left + (at < window and window - at or 0)
  end
  return {0, 0, left, wait}
end
used = used + cost
redis.call('HSET', KEYS[1], name(index), string.format('%.0f', used))
redis.call('HDEL', KEYS[1], name(index - 2))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', left + window))
return {cost, math.max(count - used - math.ceil(before * left / window), 0), left, 0}
"""
)

COUNTING: Final = (FIXED, BUCKET, SLIDING, BUCKET, SLOTS)
"""By the algorithm's number, see RemoteAlgorithm in native/remote.pxd."""

# Who shares the counts, by when each was last heard of.
BEAT: Final = Script(
    f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now - {LIVES_MS}))
redis.call('PEXPIRE', KEYS[1], {LIVES_MS})
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""
)

# Whether counts can be written where a key is.
PROBE: Final = Script("return redis.call('SET', KEYS[1], '', 'PX', 1000)")
