-- Remove: members that have not applied this number and have not beaten since this count. One that beat since may hold a lease,
-- although the number that it applied last lies before: its beat brought the rest.
--
-- Cost: O(members behind), 1,000 at once; 6 commands, up to 3 more each.
-- ARGV  6 number   7 count of beats
-- Reply: how many were removed; nil where the caller's history is not the store's
if standing() ~= claimed then
  return false
end
local removed = 0
for _, member in ipairs(redis.call('ZRANGEBYSCORE', members, '-inf', '(' .. ARGV[6], 'LIMIT', 0, 1000)) do
  local beat = tonumber(redis.call('ZSCORE', beats, member) or 0)
  if beat <= tonumber(ARGV[7]) then
    redis.call('ZREM', members, member)
    redis.call('ZREM', beats, member)
    removed = removed + 1
  end
end
return removed
