-- Append entries and move the high-water mark, if nobody moved it meanwhile. A list that has lost some condemns all.
-- KEYS: pipeline, lengths of the epoch, then the list of each entry.
-- ARGV: birth of the log, epoch, mark, next mark, list length that wants compaction, then pairs of name and entry.
local pipeline, lengths = KEYS[1], KEYS[2]
local found = redis.call('HMGET', pipeline, 'birth', 'active', 'mark')
for i = 1, 3 do
  if found[i] ~= ARGV[i] then return false end
end
local long = {}
for i = 3, #KEYS do
  local name, entry = ARGV[2 * i], ARGV[2 * i + 1]
  local length = redis.call('RPUSH', KEYS[i], entry)
  if redis.call('HINCRBY', lengths, name, 1) ~= length then
    redis.call('HSET', pipeline, 'damaged', '1')
  end
  if length >= tonumber(ARGV[5]) then long[#long + 1] = name end
end
redis.call('HSET', pipeline, 'mark', ARGV[4])
return long
