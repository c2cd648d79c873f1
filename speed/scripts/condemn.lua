-- Mark the buffers as damaged, if there are any. KEYS: pipeline.
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'damaged', '1') end
return 1
