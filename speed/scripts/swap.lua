-- Freeze the active buffer and open the next. Refused while a frozen buffer waits: then that one is the answer.
-- KEYS: pipeline, which names the epoch to open; its lengths begin with the prefix and lie in the same slot.
-- ARGV: prefix, birth of the log.
local pipeline = KEYS[1]
local active = redis.call('HGET', pipeline, 'active')
if not active or redis.call('HGET', pipeline, 'birth') ~= ARGV[2] then return false end
local frozen = redis.call('HGET', pipeline, 'frozen')
if frozen == '' then
  frozen = active
  local mark = redis.call('HGET', pipeline, 'mark')
  -- Deleting comes first: a script that begins with writing more is refused where Redis' memory is full.
  redis.call('DEL', ARGV[1] .. 'lengths:' .. string.format('%d', active + 1))
  redis.call('HSET', pipeline, 'frozen', frozen, 'cut', mark, 'active', string.format('%d', active + 1))
end
return {frozen, redis.call('HGET', pipeline, 'cut')}
