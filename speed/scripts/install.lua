-- Replace all buffers by a recovered state. ARGV: prefix, published, active, mark, frozen, cut, then name and entry pairs.
local prefix = ARGV[1]
for _, names in ipairs(redis.call('KEYS', prefix .. 'names:*')) do
  local epoch = string.sub(names, #prefix + 7)
  for _, name in ipairs(redis.call('SMEMBERS', names)) do
    redis.call('UNLINK', prefix .. 'buffer:' .. epoch .. ':' .. name)
  end
  redis.call('DEL', names)
end
redis.call('HSET', prefix .. 'pipeline',
  'published', ARGV[2], 'active', ARGV[3], 'mark', ARGV[4], 'frozen', ARGV[5], 'cut', ARGV[6])
for i = 7, #ARGV, 2 do
  redis.call('RPUSH', prefix .. 'buffer:' .. ARGV[5] .. ':' .. ARGV[i], ARGV[i + 1])
  redis.call('SADD', prefix .. 'names:' .. ARGV[5], ARGV[i])
end
return 1
