-- Books the next moment at which a call of these accounts may be sent, or says when to come again and books nothing.
--
-- KEYS, for each account: its moments (a list, the latest first, microseconds of this server's clock), its gate.
-- ARGV: timeout, patience, not before (all from now, in microseconds), "background" or "waits", "paced" or "free", the number
-- of the probe that this call would be; then for each account: its limit a second, its limit a minute.
-- Answers: { kind, wait, now, is it a probe, thousandths of its limits that the first account may spend } with kind 0 (booked:
-- send in `wait`), 1 (not before `wait`, or the accounts' own moments are further apart than `timeout`) or 2 (held, or a probe is under way: nothing for `wait`).
--
-- Cost: for an account one GET, three LINDEX, LPUSH, LTRIM, PEXPIRE.
local SECOND, MINUTE = 1000000, 60000000
-- Nobody books further ahead than FURTHEST, so that a moment that is means that this clock was set back.
local FURTHEST, SET_BACK = 4000000, 5000000
-- No hold is longer. A probe counts as under way for so long, and who waits for it looks again after so long.
local LONGEST_HOLD, PROBE_LASTS, PROBE_ANSWERS = 120000000, 10000000, 250000
local WHOLE, TENTH = 1000, 100

local time = redis.call('TIME')
local now = tonumber(time[1]) * SECOND + tonumber(time[2])
local timeout, patience, not_before = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local background, paced, probe = ARGV[4] == 'background', ARGV[5] == 'paced', ARGV[6]

local function nth_last(moments, n)
    return tonumber(redis.call('LINDEX', moments, n - 1) or 0)
end

local accounts, held, is_probe = {}, 0, 0
for i = 1, #KEYS, 2 do
    local account = { moments = KEYS[i], gate = KEYS[i + 1], part = WHOLE }
    local per_second, per_minute = tonumber(ARGV[6 + i]), tonumber(ARGV[7 + i])
    account.kept = math.max(per_second, per_minute)
    local closed, probing, probe_is, part, since = string.match(
        redis.call('GET', account.gate) or '', '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
    if closed then
        closed, probing, part, since = tonumber(closed), tonumber(probing), tonumber(part), tonumber(since)
        if since <= now + SET_BACK then
            account.part = math.min(WHOLE, part + math.floor(math.max(0, now - since) * TENTH / MINUTE))
        end
        if closed > now + LONGEST_HOLD then
            closed = 0
        end
        if closed > now then
            held = math.max(held, closed - now)
        elseif probing > now and probing <= now + FURTHEST + PROBE_LASTS then
            held = math.max(held, math.min(probing - now, PROBE_ANSWERS))
        elseif closed > 0 then
            account.probes, is_probe = string.format('%.0f %.0f', part, since), 1
        end
    end
    account.per_second = math.max(1, math.floor(per_second * account.part / WHOLE))
    account.per_minute = math.max(1, math.floor(per_minute * account.part / WHOLE))
    accounts[#accounts + 1] = account
end
local part = accounts[1].part
if held > 0 then
    return { 2, held, now, 0, part }
end

-- The earliest moment by one account alone, and by all.
local earliest, at = math.huge, now + not_before
for _, account in ipairs(accounts) do
    local last = nth_last(account.moments, 1)
    if last > now + FURTHEST + timeout then
        -- Nothing is known of what was sent, but that it may have been a full second's.
        redis.call('DEL', account.moments)
        for _ = 1, account.per_second do
            redis.call('LPUSH', account.moments, string.format('%.0f', now))
        end
        redis.call('PEXPIRE', account.moments, math.ceil((MINUTE + SECOND + timeout) / 1000))
        last = now
    end
    if paced then
        last = last + math.floor((SECOND + timeout) / account.per_second)
    end
    local minute = account.per_minute
    if background then
        minute = math.max(1, minute - math.floor(minute / 5))
    end
    local own = math.max(now, last,
        nth_last(account.moments, account.per_second) + SECOND + timeout,
        nth_last(account.moments, minute) + MINUTE + timeout)
    earliest, at = math.min(earliest, own), math.max(at, own)
end
-- Nothing of an account goes before its last moment: booked with one that is far behind, it would be shut for that long to all
-- who have nothing to do with the other.
if at - earliest > timeout or at - now > math.min(patience, FURTHEST) then
    return { 1, at - now, now, 0, part }
end

local lives = math.ceil((at - now + MINUTE + SECOND + timeout) / 1000)
for _, account in ipairs(accounts) do
    redis.call('LPUSH', account.moments, string.format('%.0f', at))
    redis.call('LTRIM', account.moments, 0, account.kept - 1)
    redis.call('PEXPIRE', account.moments, lives)
    if account.probes then
        redis.call('SET', account.gate, string.format('%.0f %.0f %s %s', now, at + PROBE_LASTS, probe, account.probes),
            'PX', 300000)
    end
end
return { 0, at - now, now, is_probe, part }
