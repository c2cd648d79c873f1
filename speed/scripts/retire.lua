-- Flip the published epoch and drop the frozen buffer, if that ends at the recorded cut. ARGV: prefix, epoch, cut.
local prefix, epoch = ARGV[1], ARGV[2]
local pipeline = prefix .. 'pipeline'
if redis.call('HGET', pipeline, 'frozen') ~= epoch or redis.call('HGET', pipeline, 'cut') ~= ARGV[3] then
  return redis.call('HGET', pipeline, 'published') == epoch and 1 or 0
end
-- Deleting comes first: a script that begins with writing more is refused where Redis' memory is full.
for _, name in ipairs(redis.call('HKEYS', prefix .. 'lengths:' .. epoch)) do
  redis.call('UNLINK', prefix .. 'buffer:' .. epoch .. ':' .. name)
end
redis.call('DEL', prefix .. 'lengths:' .. epoch)
redis.call('HSET', pipeline, 'published', epoch, 'frozen', '', 'cut', '')
return 1
