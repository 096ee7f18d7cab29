-- Beat: a member says what it has applied and which writes it has open; it gets the notices after that, and how all stand.
-- It always writes, so that a primary that lost its replicas refuses it.
--
-- Cost: O(log of members and log) and what it brings; 13 commands, one more an open write.
-- ARGV  6 number applied last   7 member   8 most notices to bring   9... open writes
-- Reply: history, began now, known, more, count of beats, members, lowest number applied, by whom, count at which the open
-- write that was not renewed for longest was renewed (nil: none), the store's time in microseconds, notices
local applied, member, page = ARGV[6], ARGV[7], tonumber(ARGV[8])
local history, began = standing(), 0
local known = history and is_known(history, applied)
-- Who is ahead of the log has read another one, which is lost.
if not history or (not known and tonumber(applied) > latest()) then
  history, began, known = begin(tonumber(applied)), 1, false
end
local notices, more = after(known, applied, page)
local beat = text(count() + 1)
redis.call('ZADD', beats, beat, '', beat, member)
-- A number from another history says nothing in this one.
redis.call('ZADD', members, known and applied or '0', member)
for index = 9, #ARGV do
  redis.call('ZADD', open, beat, ARGV[index])
end
local lowest = redis.call('ZRANGE', members, 0, 0, 'WITHSCORES')
local oldest = redis.call('ZRANGE', open, 0, 0, 'WITHSCORES')
return {
  history, began, known and 1 or 0, more, tonumber(beat), redis.call('ZCARD', members) - 1,
  tonumber(lowest[2]), lowest[1], oldest[1] ~= '' and tonumber(oldest[2]), time, notices,
}
