-- Counts tokens for a client and returns how many it may use. KEYS[1] is a hash with a field for
-- each slice in which the client took tokens. All times come from Redis's clock, in microseconds.
-- The hash has at most 62 fields, and expires when none of its slices counts any longer.
-- It takes none if fewer than the minimum are free.
local key = KEYS[1]
local quota, slice_width, counted_slices = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local requested, max_fraction = tonumber(ARGV[4]), tonumber(ARGV[5])
local unused_slice, unused, minimum = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local current = math.floor(now / slice_width)
local fields, used, counted = redis.call('HGETALL', key), 0, {}
for at = 1, #fields, 2 do
    local slice, tokens = tonumber(fields[at]), tonumber(fields[at + 1])
    if fields[at] == unused_slice and unused > 0 then
        tokens = math.max(0, tokens - unused)
        redis.call('HSET', key, fields[at], tokens)
    end
    if slice <= current - counted_slices or tokens == 0 then
        redis.call('HDEL', key, fields[at])
    else
        used = used + tokens
        counted[#counted + 1] = {slice, tokens}
    end
end

local free, granted = quota - used, 0
if free >= minimum then
    granted = math.min(requested, math.max(minimum, math.floor(free * max_fraction)))
    redis.call('HINCRBY', key, string.format('%.0f', current), granted)
    redis.call('PEXPIRE', key, math.ceil((counted_slices + 1) * slice_width / 1000))
end
-- When the oldest tokens stop counting; if too few are free, as many as are missing.
table.sort(counted, function(one, other) return one[1] < other[1] end)
local leaving, freed = current, 0
for _, each in ipairs(counted) do
    leaving, freed = each[1], freed + each[2]
    if granted > 0 or freed >= minimum - free then break end
end
return {granted, math.max(0, free - granted), current, (leaving + counted_slices) * slice_width - now}
