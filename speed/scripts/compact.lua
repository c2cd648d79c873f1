-- Replace the first `count` entries of a list by their merge.
-- ARGV: key, count, digest of the first `count` entries, merged entry.
local key, count = ARGV[1], tonumber(ARGV[2])
if count == 0 then return 0 end
local entries = redis.call('LRANGE', key, 0, count - 1)
if #entries ~= count or redis.sha1hex(table.concat(entries)) ~= ARGV[3] then return 0 end
redis.call('LTRIM', key, count, -1)
redis.call('LPUSH', key, ARGV[4])
return 1
