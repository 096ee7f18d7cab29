-- Shuts the gate of an account, or notes what became of a probe.
--
-- KEYS: the account's gate. ARGV: "hold" and for how long from now (microseconds); or "passed" or "lost" and the number of the
-- probe. Answers nothing. Cost: GET, SET.
--
-- A gate is "until when nothing goes, until when a probe is under way, its number, thousandths, since when": the last two are
-- what the account may spend of its limits. A hold that has ended stays until a probe has passed.
local SECOND, LONGEST_HOLD = 1000000, 120000000

local time = redis.call('TIME')
local now = tonumber(time[1]) * SECOND + tonumber(time[2])
local closed, probing, probe, part, since = string.match(
    redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
if not closed then
    closed, probing, probe, part, since = '0', '0', '0', '1000', '0'
end

if ARGV[1] == 'hold' then
    local earlier = tonumber(closed)
    if earlier > now + LONGEST_HOLD then
        earlier = 0
    end
    local until_then = math.max(earlier, now + math.min(tonumber(ARGV[2]), LONGEST_HOLD))
    closed, probing, probe = string.format('%.0f', until_then), '0', '0'
elseif probe == ARGV[2] then
    if ARGV[1] == 'passed' then
        closed = '0'
    end
    probing, probe = '0', '0'
else
    return false
end
redis.call('SET', KEYS[1], table.concat({ closed, probing, probe, part, since }, ' '), 'PX', 300000)
return false
