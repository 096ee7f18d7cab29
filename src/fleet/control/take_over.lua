-- Take over: open writes that nobody has renewed since this count become notices. Renewed meanwhile, they are left alone.
--
-- Cost: O(log of the log) each; 7 commands, 4 more each, no more than 100 at once.
-- ARGV  6 count   7 length of the log
-- Reply: how many; nil where the caller's history is not the store's
local history = standing()
if history ~= claimed then
  return false
end
local orphans = redis.call('ZRANGEBYSCORE', open, '-inf', ARGV[6], 'LIMIT', 0, 100)
local number = latest()
for _, orphan in ipairs(orphans) do
  redis.call('ZREM', open, orphan)
  -- 16 bytes name its member and 8 the write; the rest is what it may have done.
  number = append(history, number, string.sub(orphan, 25))
end
redis.call('ZREMRANGEBYRANK', log, 0, -tonumber(ARGV[7]) - 1)
return #orphans
