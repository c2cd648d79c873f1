-- Replace all buffers by a recovered state, if the pipeline is still the one that was found wanting.
-- KEYS: pipeline; what the script reads there names the others, which begin with the prefix and lie in the same slot.
-- ARGV: prefix; published, active, mark, frozen, cut, birth as found (all empty: none); the same anew; name and entry
-- pairs.
local pipeline, prefix = KEYS[1], ARGV[1]
local found = redis.call('HMGET', pipeline, 'published', 'active', 'mark', 'frozen', 'cut', 'birth')
for i = 1, 6 do
  if (found[i] or '') ~= ARGV[i + 1] then return 0 end
end
-- Deleting comes first: a script that begins with writing more is refused where Redis' memory is full.
redis.call('DEL', pipeline)
for _, epoch in ipairs({ARGV[3], ARGV[5], ARGV[9], ARGV[11]}) do
  local lengths = prefix .. 'lengths:' .. epoch
  for _, name in ipairs(redis.call('HKEYS', lengths)) do
    redis.call('UNLINK', prefix .. 'buffer:' .. epoch .. ':' .. name)
  end
  redis.call('DEL', lengths)
end
local frozen = ARGV[11]
for i = 14, #ARGV, 2 do
  redis.call('RPUSH', prefix .. 'buffer:' .. frozen .. ':' .. ARGV[i], ARGV[i + 1])
  redis.call('HSET', prefix .. 'lengths:' .. frozen, ARGV[i], 1)
end
-- The pipeline goes first and comes last: whatever ends the script between leaves no buffers, which are built again.
redis.call('HSET', pipeline, 'published', ARGV[8], 'active', ARGV[9], 'mark', ARGV[10], 'frozen', frozen,
  'cut', ARGV[12], 'birth', ARGV[13])
return 1
