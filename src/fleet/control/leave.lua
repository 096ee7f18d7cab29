-- Leave: a member that has given up its lease is one no longer.
--
-- Cost: O(log of members); 2 commands.
-- ARGV  6 member
-- Reply: whether it was one
redis.call('ZREM', beats, ARGV[6])
return redis.call('ZREM', members, ARGV[6])
