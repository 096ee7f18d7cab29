-- What of these entries is stored; where nothing new is, who fetches it.
--
-- KEYS[1]   the lock of what is looked for
-- KEYS[2]   the lock of the list that would bring it, or the first again
-- KEYS[3..] the entries
-- ARGV[1]   who asks: the token of its lock
-- ARGV[2]   for how many milliseconds a lock holds that is not extended
-- ARGV[3..] for each entry how the value begins that was found unfit before, or nothing
--
-- {0, entries..}: one at least is there that was not found unfit. {1}: the lock is the asker's. {2, holder}: somebody else has
-- it. {3, holder}: somebody reads the list. {4}: the store takes no lock now.
-- Cost: one GET an entry, one or two GETs and a SET of a lock.
local found, any = {0}, false
for i = 3, #KEYS do
  local value = redis.call('GET', KEYS[i])
  if value and (value == '' or (ARGV[i] ~= '' and string.sub(value, 1, #ARGV[i]) == ARGV[i])) then
    value = false
  end
  found[i - 1] = value
  any = any or value
end
if any then
  return found
end
if KEYS[2] ~= KEYS[1] then
  local reads = redis.call('GET', KEYS[2])
  if reads then
    return {3, reads}
  end
end
local held = redis.call('GET', KEYS[1])
if held then
  return {2, held}
end
-- Full, or a replica by now: whoever asked goes without.
local taken = redis.pcall('SET', KEYS[1], ARGV[1] .. 'b', 'PX', ARGV[2])
if type(taken) == 'table' and taken.err then
  return {4}
end
return {1}
