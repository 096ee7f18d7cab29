-- What every script of the control state begins with: the parts of the state, and the steps that more than one script takes.
--
-- KEYS  1 state    hash: run_id of the server, the history
--       2 log      sorted set: number -> the number in 16 digits, then the sealed notice (an empty one: everything)
--       3 members  sorted set: number applied last -> member
--       4 beats    sorted set: count of the member's last beat -> member; the empty member bears the count itself
--       5 open     sorted set: count at which it was last renewed -> open write
-- ARGV  1 run_id that the caller's link read   2 history that the caller knows   3 PUBLISH or SPUBLISH   4 the bell's channel
--       5 what no other call has, 24 bytes
--
-- A history is called by the number of its first notice and by what begins it: a store that lost all and whose clock was set
-- back may give a number twice.
--
-- The empty member marks each set, so that an empty one is told from one that is gone. Numbers have 16 digits, which `..` and
-- tostring cut to 14: they are written by string.format alone. TIME is asked once, since it goes on within a script in Redis
-- and stands still in Valkey.
local state, log, members, beats, open = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local run, claimed, verb, channel, unique = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local clock = redis.call('TIME')
local time = clock[1] * 1000000 + clock[2]

local function text(number)
  return string.format('%016.0f', number)
end

local function number_of(notice)
  return tonumber(string.sub(notice, 1, 16))
end

-- The history, if every part of it is there and this is the server process on which it began.
local function standing()
  if redis.call('HGET', state, 'run_id') == run
    and redis.call('ZSCORE', members, '') and redis.call('ZSCORE', beats, '') and redis.call('ZSCORE', open, '')
    and redis.call('ZCARD', log) > 0
  then
    return redis.call('HGET', state, 'history')
  end
  return false
end

local function count()
  return tonumber(redis.call('ZSCORE', beats, ''))
end

-- The number of the latest notice; 0 where there is no log.
local function latest()
  local notice = redis.call('ZRANGE', log, -1, -1)[1]
  return notice and number_of(notice) or 0
end

-- Appends a notice and rings.
local function append(history, before, body)
  local number = math.max(before + 1, time)
  redis.call('ZADD', log, text(number), text(number) .. body)
  redis.call(verb, channel, history .. text(before) .. text(number) .. body)
  return number
end

-- A new history: its first notice says everything, to all. It lies above what the caller has applied.
local function begin(above)
  above = math.max(above, latest())
  local history = text(math.max(above + 1, time)) .. unique
  redis.call('DEL', log, members, beats, open)
  redis.call('HSET', state, 'run_id', run, 'history', history)
  redis.call('ZADD', members, '+inf', '')
  redis.call('ZADD', beats, '0', '')
  redis.call('ZADD', open, '+inf', '')
  append(history, above, '')
  return history
end

-- Whether a caller who has applied this one lacks nothing but what the log has after it.
local function is_known(history, applied)
  return claimed == history and redis.call('ZCOUNT', log, applied, applied) == 1
end

-- The notices after this one, or all for a caller of whom nothing is known; no more than a page, and whether there are more.
local function after(known, applied, page)
  local notices
  if known then
    notices = redis.call('ZRANGEBYSCORE', log, '(' .. applied, '+inf', 'LIMIT', 0, page + 1)
  else
    notices = redis.call('ZRANGE', log, 0, page)
  end
  local more = 0
  if #notices > page then
    table.remove(notices)
    more = 1
  end
  return notices, more
end
