-- Frees a lock that is still the asker's.
--
-- KEYS[1] the lock
-- ARGV[1] the token of who holds it
--
-- 1 if it was; 0 if it had been lost.
-- Cost: a GET and a DEL.
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, #ARGV[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
