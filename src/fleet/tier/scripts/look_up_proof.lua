-- The proof of a credential that is stored; where none is that is new, who asks for one.
--
-- KEYS[1] the proofs of its Authorization
-- KEYS[2] the lock of who asks for this one
-- ARGV[1] who asks: the token of its lock
-- ARGV[2] for how many milliseconds a lock holds that is not extended
-- ARGV[3] the proof's field
-- ARGV[4] how the value begins that was found unfit before, or nothing
--
-- {0, proof}: one is there. {1}: the lock is the asker's. {2, holder}: somebody else has it. {4}: the store takes no lock now.
-- Cost: an HGET, a GET and a SET.
local proof = redis.call('HGET', KEYS[1], ARGV[3])
if proof and proof ~= '' and (ARGV[4] == '' or string.sub(proof, 1, #ARGV[4]) ~= ARGV[4]) then
  return {0, proof}
end
local held = redis.call('GET', KEYS[2])
if held then
  return {2, held}
end
local taken = redis.pcall('SET', KEYS[2], ARGV[1] .. 'b', 'PX', ARGV[2])
if type(taken) == 'table' and taken.err then
  return {4}
end
return {1}
