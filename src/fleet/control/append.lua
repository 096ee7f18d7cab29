-- Append: notices that must follow each other, mostly one; the write that they are of is open no longer.
--
-- Cost: O(log of the log) and what it brings; 12 commands, two more a further notice; each rings at every replica.
-- ARGV  6 number applied last   7 most notices to bring   8 length of the log   9 the open write, or empty   10... notices
-- Reply: history, number of the last notice, number before the first, known, more, count of beats, notices after the one
-- applied last, these among them
local applied, page, length = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local history = standing()
local known = history and is_known(history, applied)
if not history or (not known and tonumber(applied) > latest()) then
  history, known = begin(tonumber(applied)), false
end
if ARGV[9] ~= '' then
  redis.call('ZREM', open, ARGV[9])
end
local before = latest()
local number = before
for index = 10, #ARGV do
  number = append(history, number, ARGV[index])
end
-- Read before the oldest go, which may be among those to bring.
local notices, more = after(known, applied, page)
redis.call('ZREMRANGEBYRANK', log, 0, -length - 1)
return { history, number, before, known and 1 or 0, more, count(), notices }
