-- KEYS: value, lease, and the lock if it is wanted.
-- ARGV: nonce, the lease's milliseconds, holder, the lock's milliseconds, whether the caller waited, and, if the caller
-- has no use for what it saw under the key, the beginning of that.
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'string' then
  local seen = ARGV[6]
  if not seen or value ~= seen and (#seen == 0 or string.sub(value, 1, #seen) ~= seen) then
    return {1, value}
  end
end
local wanted = false
if KEYS[3] then
  local holder = redis.call('GET', KEYS[3])
  local failed = holder == '-'
  if holder and not failed and holder ~= ARGV[3] then
    return {2, holder, redis.call('PTTL', KEYS[3])}
  end
  wanted = not (failed and ARGV[5] == '1')
end
local lease = redis.call('GET', KEYS[2])
local own = 0
if lease then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
else
  lease = ARGV[1]
  own = 1
  redis.call('SET', KEYS[2], lease, 'PX', ARGV[2])
end
if not wanted then return {0, lease, own, 0} end
-- Last, so that a script that stops at a command which the user may not send leaves no lock.
redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[4])
return {0, lease, own, 1}
