-- The pipeline, the entries of a hub's rollups in all epochs after the published one, and the names of those lists that
-- are not as long as they must be.
-- KEYS: pipeline, which names the epochs; their lists and lengths begin with the prefix and lie in the same slot.
-- ARGV: prefix, hub, rollups.
local prefix, hub = ARGV[1], ARGV[2]
local state = redis.call('HGETALL', KEYS[1])
local active = redis.call('HGET', KEYS[1], 'active')
local frozen = redis.call('HGET', KEYS[1], 'frozen')
local lists, wrong = {}, {}
for i = 3, #ARGV do
  local entries, name = {}, hub .. ':' .. ARGV[i]
  for _, epoch in ipairs({frozen, active}) do
    if epoch and epoch ~= '' then
      local list = redis.call('LRANGE', prefix .. 'buffer:' .. epoch .. ':' .. name, 0, -1)
      if tonumber(redis.call('HGET', prefix .. 'lengths:' .. epoch, name) or 0) ~= #list then
        wrong[#wrong + 1] = epoch .. ':' .. name
      end
      for _, entry in ipairs(list) do entries[#entries + 1] = entry end
    end
  end
  lists[#lists + 1] = entries
end
return {state, lists, wrong}
