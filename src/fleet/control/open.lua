-- Open: a write is entered among the open ones before it is sent.
--
-- Cost: O(log of members and open writes); 8 commands.
-- ARGV  6 the open write
-- Reply: the count at which it was entered; nil where the caller's history is not the store's, which its next beat mends
if standing() ~= claimed then
  return false
end
-- A count of its own: whoever has seen the one before it has not seen this write.
local entered = text(count() + 1)
redis.call('ZADD', beats, entered, '')
redis.call('ZADD', open, entered, ARGV[6])
return tonumber(entered)
