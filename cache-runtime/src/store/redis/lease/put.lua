-- KEYS: value, lease, lock.
-- ARGV: the lease's content, value, milliseconds, whether to stamp it.
-- An invalidation or a put that came meanwhile knows better, so then neither value stays.
local stored
if redis.call('GET', KEYS[2]) == ARGV[1] then
  stored = redis.pcall('SET', KEYS[1], value, 'PX', ARGV[3])
end
if not stored or stored.err then redis.call('DEL', KEYS[1]) end
redis.call('DEL', KEYS[2])
redis.call('DEL', KEYS[3])
return stored or 0
