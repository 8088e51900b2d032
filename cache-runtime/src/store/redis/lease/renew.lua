-- KEYS: lock.
-- ARGV: holder, milliseconds (0: delete it).
-- A lock that was lost stays with its holder.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
