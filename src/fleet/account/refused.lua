-- Lowers an account that the API refused although it was not full: others spend from its limit (`shield/beside`).
--
-- KEYS: the account's moments, its gate. ARGV: timeout, the moment that was booked for the refused call, its limit a second,
-- its limit a minute. Answers nothing. Cost: GET, SET, two to three dozen LINDEX; a 429 is rare.
local SECOND, MINUTE = 1000000, 60000000
local SET_BACK = 5000000
local WHOLE, LEAST, TENTH = 1000, 500, 100

local time = redis.call('TIME')
local now = tonumber(time[1]) * SECOND + tonumber(time[2])
local timeout, sent = tonumber(ARGV[1]), tonumber(ARGV[2])
local per_second, per_minute = tonumber(ARGV[3]), tonumber(ARGV[4])

-- How many moments are later than this one.
local function later_than(moment)
    local low, high = 0, math.max(per_second, per_minute)
    while low < high do
        local middle = math.floor((low + high) / 2)
        if tonumber(redis.call('LINDEX', KEYS[1], middle) or 0) > moment then
            low = middle + 1
        else
            high = middle
        end
    end
    return low
end

local after = later_than(sent)
local had = math.max(
    math.floor((later_than(sent - SECOND - timeout) - after) * WHOLE / per_second),
    math.floor((later_than(sent - MINUTE - timeout) - after) * WHOLE / per_minute))
if had >= WHOLE then
    return false
end

local closed, probing, probe, part, since = string.match(
    redis.call('GET', KEYS[2]) or '', '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
if not closed then
    closed, probing, probe, part, since = '0', '0', '0', '1000', '0'
end
part, since = tonumber(part), tonumber(since)
if since > now + SET_BACK then
    part, since = WHOLE, 0
end
if sent <= since then
    part = math.min(part, math.max(LEAST, had - TENTH))
else
    local risen = math.min(WHOLE, part + math.floor(math.max(0, now - since) * TENTH / MINUTE))
    part, since = math.max(LEAST, math.min(had, risen) - TENTH), now
end
redis.call('SET', KEYS[2], string.format('%s %s %s %.0f %.0f', closed, probing, probe, part, since), 'PX', 300000)
return false
