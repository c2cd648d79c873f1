-- Append entries and move the high-water mark, if nobody moved it meanwhile.
-- ARGV: prefix, epoch, mark, next mark, list length that wants compaction, then pairs of name and entry.
local prefix, epoch = ARGV[1], ARGV[2]
local pipeline = prefix .. 'pipeline'
if redis.call('HGET', pipeline, 'active') ~= epoch or redis.call('HGET', pipeline, 'mark') ~= ARGV[3] then
  return false
end
local long = {}
for i = 6, #ARGV, 2 do
  local length = redis.call('RPUSH', prefix .. 'buffer:' .. epoch .. ':' .. ARGV[i], ARGV[i + 1])
  if length == 1 then redis.call('SADD', prefix .. 'names:' .. epoch, ARGV[i]) end
  if length >= tonumber(ARGV[5]) then long[#long + 1] = ARGV[i] end
end
redis.call('HSET', pipeline, 'mark', ARGV[4])
return long
