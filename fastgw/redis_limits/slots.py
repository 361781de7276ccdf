"""What Redis runs for slots of running requests: a look, a decision and a write in one atomic step.

Owns the script and the form of what it keeps. It is told the node's name, and numbers in one text, which native/remote_slots
writes. Must not know how it is sent, or what comes of the answer. What is believed of a node ends by Redis' own clock.
"""

from typing import Final

from fastgw.redis_client import Script

__all__ = ["SLOTS"]

SLOTS: Final = Script("""
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local node = ARGV[1]
local place, most, ttl, moment, runs = string.match(ARGV[2], '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
place, most, ttl, moment, runs = tonumber(place), tonumber(most), tonumber(ttl), tonumber(moment), tonumber(runs)

-- A field per node: what runs there, until when that is believed, and when it said so, by its own clock.
local others, late = 0, false
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local n, till, said = string.match(all[i + 1], '^(%d+) (%d+) (%d+)$')
  if all[i] == node then
    late = said - moment > 0 and said - moment < 600000000 -- of a minute at most: else the clock began anew
  elseif tonumber(till) <= now then
    redis.call('HDEL', KEYS[1], all[i])
  else
    others = others + n
  end
end

local granted = place > 0 and others + place <= most
if not late then
  if place > 0 and not granted then
    runs = math.max(runs - 1, 0) -- it will not run
  end
  local kept = runs > 0 and ttl or 60000 -- it outlasts what is under way
  redis.call('HSET', KEYS[1], node, string.format('%.0f %.0f %.0f', runs, now + kept, moment))
end
local lives = math.max(ttl, 60000)
if redis.call('PTTL', KEYS[1]) < lives then
  redis.call('PEXPIRE', KEYS[1], lives)
end
return {granted and 1 or 0, others}
""")
"""A node does not say that it takes a slot or gives one back, but how many it uses: so what was lost on the way, or said by a
life of it that ended, is put right by what it says next.

Numbers: the place of the request that asks among those that run on the node, itself included (0: none asks), the most that may
run, after how many ms a node that says nothing more is forgotten, a moment on the node's clock in units of 100 ns, and how many
run there, as read after that moment. Of two messages the one with the later moment counts, in whatever order they come.

Gives: whether the request has a slot, and how many are used by others."""
