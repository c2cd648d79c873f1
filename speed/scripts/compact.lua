-- Replace the first `count` entries of a list by their merge, unless the list is not as long as it must be.
-- KEYS: list, lengths of its epoch. ARGV: name, count, digest of the first `count` entries, merged entry.
local key, lengths, name = KEYS[1], KEYS[2], ARGV[1]
local count, length = tonumber(ARGV[2]), redis.call('LLEN', key)
if count == 0 or tonumber(redis.call('HGET', lengths, name) or 0) ~= length then return 0 end
local entries = redis.call('LRANGE', key, 0, count - 1)
if #entries ~= count or redis.sha1hex(table.concat(entries)) ~= ARGV[3] then return 0 end
redis.call('LTRIM', key, count, -1)
redis.call('LPUSH', key, ARGV[4])
redis.call('HSET', lengths, name, length - count + 1)
return 1
