-- KEYS: value, lease, and the lock if it ends with this.
-- ARGV: the lease's content, value, milliseconds (0: delete the value), whether to stamp it if it is or a lock ends, and if one
-- does holder, and for how many milliseconds the lock says that nothing came of it.
-- A SET that is refused (out of memory) still proves that the lease stood, and still ends it.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  if KEYS[3] and redis.call('GET', KEYS[3]) == ARGV[5] then redis.call('DEL', KEYS[3]) end
  return 0
end
local stored
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1])
else
  stored = redis.pcall('SET', KEYS[1], value, 'PX', ARGV[3])
end
redis.call('DEL', KEYS[2])
if KEYS[3] and ARGV[3] == '0' then
  redis.call('SET', KEYS[3], '-', 'PX', ARGV[6])
elseif KEYS[3] then
  redis.call('DEL', KEYS[3])
end
if stored and stored.err then return 2 end
return 1
