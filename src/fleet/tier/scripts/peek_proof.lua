-- The proof of a credential that is stored under the name that another secret gives it.
--
-- KEYS[1] the proofs of its Authorization
-- ARGV[1] the proof's field
--
-- The proof, or nothing: one that was taken out is empty. Cost: one HGET.
local proof = redis.call('HGET', KEYS[1], ARGV[1])
return proof ~= '' and proof
