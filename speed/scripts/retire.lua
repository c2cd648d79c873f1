-- Flip the published epoch and drop the frozen buffer, if that ends at the recorded cut.
-- KEYS: pipeline, lengths of the epoch, which name the lists; these begin with the prefix and lie in the same slot.
-- ARGV: prefix, epoch, cut.
local pipeline, lengths, prefix, epoch = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
if redis.call('HGET', pipeline, 'frozen') ~= epoch or redis.call('HGET', pipeline, 'cut') ~= ARGV[3] then
  return redis.call('HGET', pipeline, 'published') == epoch and 1 or 0
end
-- Deleting comes first: a script that begins with writing more is refused where Redis' memory is full.
for _, name in ipairs(redis.call('HKEYS', lengths)) do
  redis.call('UNLINK', prefix .. 'buffer:' .. epoch .. ':' .. name)
end
redis.call('DEL', lengths)
redis.call('HSET', pipeline, 'published', epoch, 'frozen', '', 'cut', '')
return 1
