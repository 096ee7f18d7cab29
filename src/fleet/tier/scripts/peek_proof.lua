-- The proof of a credential that is stored under the name that another secret gives it.
--
-- KEYS[1] the proofs of its Authorization
-- ARGV[1] the proof's field
--
-- The proof, or nothing. Cost: one HGET.
return redis.call('HGET', KEYS[1], ARGV[1])
