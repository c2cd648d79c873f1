-- Append entries and move the high-water mark, if nobody moved it meanwhile. A list that has lost some condemns all.
-- ARGV: prefix, birth of the log, epoch, mark, next mark, list length that wants compaction, then pairs of name and entry.
local prefix, epoch = ARGV[1], ARGV[3]
local pipeline = prefix .. 'pipeline'
local found = redis.call('HMGET', pipeline, 'birth', 'active', 'mark')
for i = 1, 3 do
  if found[i] ~= ARGV[i + 1] then return false end
end
local long = {}
for i = 7, #ARGV, 2 do
  local length = redis.call('RPUSH', prefix .. 'buffer:' .. epoch .. ':' .. ARGV[i], ARGV[i + 1])
  if redis.call('HINCRBY', prefix .. 'lengths:' .. epoch, ARGV[i], 1) ~= length then
    redis.call('HSET', pipeline, 'damaged', '1')
  end
  if length >= tonumber(ARGV[6]) then long[#long + 1] = ARGV[i] end
end
redis.call('HSET', pipeline, 'mark', ARGV[5])
return long
