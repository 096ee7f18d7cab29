-- Enters calls that were sent without a booking: before their caller's organization was known, or while the store was not asked.
--
-- KEYS: the account's moments. ARGV: timeout (microseconds), how many, how many moments are kept, the limit a second.
-- Answers nothing. Cost: LINDEX, an LPUSH for 1,000 calls, LTRIM, PEXPIRE.
--
-- They count from now, which is later than they were sent: nobody knows by this clock when that was.
local SECOND, MINUTE, SET_BACK = 1000000, 60000000, 5000000

local time = redis.call('TIME')
local now = tonumber(time[1]) * SECOND + tonumber(time[2])
local timeout, count, kept, per_second = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local last = tonumber(redis.call('LINDEX', KEYS[1], 0) or 0)
-- The list is in order: what others have booked ahead comes first.
local at = math.max(now, last)
local left = math.min(count, kept)
if last > now + SET_BACK then
    -- As in `book.lua`: what was sent before may have been a full second's.
    redis.call('DEL', KEYS[1])
    at, left = now, math.min(count + per_second, kept)
end
while left > 0 do
    local some = {}
    for i = 1, math.min(left, 1000) do
        some[i] = string.format('%.0f', at)
    end
    redis.call('LPUSH', KEYS[1], unpack(some))
    left = left - #some
end
redis.call('LTRIM', KEYS[1], 0, kept - 1)
redis.call('PEXPIRE', KEYS[1], math.ceil((at - now + MINUTE + SECOND + timeout) / 1000))
return false
