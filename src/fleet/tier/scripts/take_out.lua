-- Takes something out.
--
-- KEYS the names
--
-- How many there were. Cost: one DEL.
return redis.call('DEL', unpack(KEYS))
