-- Writes the server's time into the bytes that are going to be stored, where their reader looks for it: bytes 6 to 13.
-- The header's layout asserts these numbers where this file is included.
local function stamped(value, splice)
  if splice ~= '1' then return value end
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  return string.sub(value, 1, 5) .. struct.pack('<I8', now) .. string.sub(value, 14)
end

