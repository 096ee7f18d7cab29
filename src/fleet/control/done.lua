-- Done: an open write has invalidated nothing and is open no longer.
--
-- Cost: O(log of open writes); 1 command.
-- ARGV  6 the open write
-- Reply: how many were open
return redis.call('ZREM', open, ARGV[6])
