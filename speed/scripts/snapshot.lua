-- The pipeline, and the entries of a hub's rollups in all epochs after the published one. ARGV: prefix, hub, rollups.
local prefix, hub = ARGV[1], ARGV[2]
local state = redis.call('HGETALL', prefix .. 'pipeline')
local active = redis.call('HGET', prefix .. 'pipeline', 'active')
local frozen = redis.call('HGET', prefix .. 'pipeline', 'frozen')
local lists = {}
for i = 3, #ARGV do
  local entries = {}
  for _, epoch in ipairs({frozen, active}) do
    if epoch and epoch ~= '' then
      for _, entry in ipairs(redis.call('LRANGE', prefix .. 'buffer:' .. epoch .. ':' .. hub .. ':' .. ARGV[i], 0, -1)) do
        entries[#entries + 1] = entry
      end
    end
  end
  lists[#lists + 1] = entries
end
return {state, lists}
