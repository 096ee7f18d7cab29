-- Stores a proof among those of its Authorization, which end when the youngest of them does.
--
-- KEYS[1] the proofs
-- ARGV[1] the proof's field
-- ARGV[2] the proof
-- ARGV[3] for how many milliseconds it lives
--
-- Cost: an HSET and a PEXPIRE.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
