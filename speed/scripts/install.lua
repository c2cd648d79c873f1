-- Replace all buffers by a recovered state, if the pipeline is still the one that was found wanting.
-- ARGV: prefix; published, active, mark, frozen, cut as found (all empty: none); the same anew; name and entry pairs.
local prefix = ARGV[1]
local pipeline = prefix .. 'pipeline'
local found = redis.call('HMGET', pipeline, 'published', 'active', 'mark', 'frozen', 'cut')
for i = 1, 5 do
  if (found[i] or '') ~= ARGV[i + 1] then return 0 end
end
for _, names in ipairs(redis.call('KEYS', prefix .. 'names:*')) do
  local epoch = string.sub(names, #prefix + 7)
  for _, name in ipairs(redis.call('SMEMBERS', names)) do
    redis.call('UNLINK', prefix .. 'buffer:' .. epoch .. ':' .. name)
  end
  redis.call('DEL', names)
end
local frozen = ARGV[10]
redis.call('HSET', pipeline, 'published', ARGV[7], 'active', ARGV[8], 'mark', ARGV[9], 'frozen', frozen, 'cut', ARGV[11])
for i = 12, #ARGV, 2 do
  redis.call('RPUSH', prefix .. 'buffer:' .. frozen .. ':' .. ARGV[i], ARGV[i + 1])
  redis.call('SADD', prefix .. 'names:' .. frozen, ARGV[i])
end
return 1
