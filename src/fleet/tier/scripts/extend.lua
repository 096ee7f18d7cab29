-- Extends a lock that is still the asker's.
--
-- KEYS[1] the lock
-- ARGV[1] the token of who holds it
-- ARGV[2] how far the holder is: q in the queue, s on its way
-- ARGV[3] for how many milliseconds more
--
-- 1 if it is; 0 if it was lost.
-- Cost: a GET and a SET.
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, #ARGV[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
return 1
