-- Mark the buffers as damaged, if there are any. ARGV: prefix.
local pipeline = ARGV[1] .. 'pipeline'
if redis.call('EXISTS', pipeline) == 1 then redis.call('HSET', pipeline, 'damaged', '1') end
return 1
