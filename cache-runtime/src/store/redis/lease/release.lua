-- KEYS: lease, and the lock if it was taken.
-- ARGV: the lease's content, whether to delete it, holder, for how many milliseconds the lock says that nothing came of
-- it.
local stood = redis.call('GET', KEYS[1]) == ARGV[1]
if stood and ARGV[2] == '1' then redis.call('DEL', KEYS[1]) end
if KEYS[2] and redis.call('GET', KEYS[2]) == ARGV[3] then
  redis.call('SET', KEYS[2], '-', 'PX', ARGV[4])
end
return stood and 1 or 0
