-- The value that is going to be stored is ARGV[2]. Where ARGV[4] is 1, it gets the server's time where its reader looks for
-- that: bytes 6 to 13. The header's layout asserts these numbers where this file is included.
local value = ARGV[2]
if ARGV[4] == '1' then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  value = string.sub(value, 1, 5) .. struct.pack('<I8', now) .. string.sub(value, 14)
end

