-- Replace the first `count` entries of a list by their merge.
-- ARGV: prefix, key, count, digest of the first `count` entries, merged entry.
if tonumber(ARGV[3]) == 0 then return 0 end
local entries = redis.call('LRANGE', ARGV[2], 0, tonumber(ARGV[3]) - 1)
if #entries ~= tonumber(ARGV[3]) or redis.sha1hex(table.concat(entries)) ~= ARGV[4] then return 0 end
redis.call('LTRIM', ARGV[2], ARGV[3], -1)
redis.call('LPUSH', ARGV[2], ARGV[5])
return 1
