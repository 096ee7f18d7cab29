-- Takes one proof out of those of its Authorization, and leaves the others.
--
-- KEYS[1] the proofs of its Authorization
-- ARGV[1] the proof's field
--
-- Whether there was one. What is left is empty, which nobody takes for a proof, and ends when the others do: taking the field out
-- would be a command more that the store's user has to be allowed. Cost: an HGET and an HSET.
local proof = redis.call('HGET', KEYS[1], ARGV[1])
if not proof or proof == '' then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], '')
return 1
