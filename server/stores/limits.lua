-- Counters of limits: one decision of server/stores/counters.py and windows.py, to the letter.
--
-- KEYS  holds, leases, and a counter for each charge
-- ARGV  verb, clock (empty: the server's own; tests pass one), then
--       take    hold id, and kind, limit, amount of each charge
--       settle  hold id, and kind, limit, amount used of each charge
--       seed    the moment that was looked up, and kind, limit, amount used of each charge
--       renew   hold ids
--
-- A minute is a hash of seconds with `used`, `first` and `last`; a day or month a hash of `start` and `used`; open
-- requests are a number. A hold is a field of the hash of holds, and a member of the leases by the time of its expiry.
-- Times go out as text: a number would lose its fraction.

local LEASE_S, MINUTE_S, DAY_S = 60, 60, 86400
local KEEP_S = 7 * DAY_S -- of what has no end of its own; every take begins it anew
local EXPIRED_AT_ONCE = 64
local GUESS_S = 1
local SHAPE = {
  requests_per_minute = 'minute', tokens_per_minute = 'minute', requests_per_day = 'day', tokens_per_day = 'day',
  spend_per_month = 'month', concurrent_requests = 'open',
}
local FOR_GOOD = { requests_per_minute = true, requests_per_day = true }

local holds, leases = KEYS[1], KEYS[2]
local verb, now = ARGV[1], tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local second = math.floor(now)

local function exact(number)
  return string.format('%.17g', number)
end

-- Calendar. Days and civil dates as in Howard Hinnant, "chrono-compatible low-level date algorithms".

local function days_before(year, month)
  if month <= 2 then year = year - 1 end
  local era = math.floor(year / 400)
  local of_era = year - era * 400
  local of_year = math.floor((153 * ((month + 9) % 12) + 2) / 5)
  return era * 146097 + of_era * 365 + math.floor(of_era / 4) - math.floor(of_era / 100) + of_year - 719468
end

local function year_and_month()
  local days = math.floor(now / DAY_S) + 719468
  local era = math.floor(days / 146097)
  local of_era = days - era * 146097
  local year = math.floor(
    (of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = (math.floor((5 * of_year + 2) / 153) + 2) % 12 + 1
  return year + era * 400 + (month <= 2 and 1 or 0), month
end

local BOUNDS = {}

function BOUNDS.day()
  local start = math.floor(now / DAY_S) * DAY_S
  return start, start + DAY_S
end

function BOUNDS.month()
  local year, month = year_and_month()
  local following = month == 12 and days_before(year + 1, 1) or days_before(year, month + 1)
  return days_before(year, month) * DAY_S, following * DAY_S
end

-- Windows, by shape. `read` drops what no longer counts; `used` is nil where that is not known.

local minute, calendar, open = {}, {}, {}

function minute.read(w)
  local head = redis.call('HMGET', w.key, 'used', 'first', 'last')
  w.used, w.first, w.last = tonumber(head[1] or 0), tonumber(head[2]), tonumber(head[3])
  local oldest = second - MINUTE_S
  if not w.first or w.first >= oldest then return end
  if w.last < oldest then
    redis.call('DEL', w.key)
    w.used, w.first, w.last = 0, nil, nil
    return
  end
  local gone = {}
  for s = w.first, oldest - 1 do gone[#gone + 1] = s end
  for _, amount in ipairs(redis.call('HMGET', w.key, unpack(gone))) do w.used = w.used - tonumber(amount or 0) end
  redis.call('HDEL', w.key, unpack(gone))
  w.first = oldest
  redis.call('HSET', w.key, 'used', w.used, 'first', oldest)
end

function minute.take(w, amount)
  if not w.last or w.last < second then
    w.last, w.first = second, w.first or second
    redis.call('HSET', w.key, 'first', w.first, 'last', second)
    redis.call('EXPIRE', w.key, 2 * MINUTE_S)
  end
  w.used = w.used + amount
  redis.call('HSET', w.key, 'used', w.used)
  redis.call('HINCRBY', w.key, w.last, amount)
  return w.last
end

function minute.correct(w, slot, by)
  if not w.first or slot < w.first then return end
  w.used = w.used + by
  redis.call('HSET', w.key, 'used', w.used)
  redis.call('HINCRBY', w.key, slot, by)
end

function minute.wait(w, excess)
  for s = w.first, w.last do
    excess = excess - tonumber(redis.call('HGET', w.key, s) or 0)
    if excess <= 0 then return s + MINUTE_S + 1 - now end
  end
  return 0
end

function minute.reset(w)
  if w.used == 0 then return 0 end
  for s = w.last, w.first, -1 do
    if tonumber(redis.call('HGET', w.key, s) or 0) ~= 0 then return s + MINUTE_S + 1 - now end
  end
  return 0
end

function calendar.read(w)
  w.start, w.stop = BOUNDS[w.shape]()
  local head = redis.call('HMGET', w.key, 'start', 'used')
  w.used = tonumber(head[1]) == w.start and tonumber(head[2]) or nil
end

function calendar.seed(w, amount, at)
  if w.used or at < w.start or at >= w.stop then return end
  w.used = amount
  redis.call('HSET', w.key, 'start', w.start, 'used', amount)
  redis.call('EXPIRE', w.key, math.ceil(w.stop - now) + MINUTE_S)
end

function calendar.take(w, amount)
  w.used = redis.call('HINCRBY', w.key, 'used', amount)
  return w.start
end

function calendar.correct(w, slot, by)
  if w.used and slot == w.start then w.used = redis.call('HINCRBY', w.key, 'used', by) end
end

function calendar.wait(w)
  return w.stop - now
end

function calendar.reset(w)
  return w.used ~= 0 and w.stop - now or 0
end

function open.read(w)
  w.used = tonumber(redis.call('GET', w.key) or 0)
end

function open.take(w, amount)
  w.used = w.used + amount
  redis.call('SET', w.key, w.used, 'EX', KEEP_S)
  return 0
end

function open.correct(w, _, by)
  w.used = math.max(0, w.used + by) -- a store that lost keys may have lost the count and not the hold
  if w.used > 0 then redis.call('SET', w.key, w.used, 'EX', KEEP_S) else redis.call('DEL', w.key) end
end

function open.wait()
  return GUESS_S
end

function open.reset(w)
  return w.used ~= 0 and GUESS_S or 0
end

local DOES = { minute = minute, day = calendar, month = calendar, open = open }
local read = {} -- by key: each is read once per step

local function window(key, kind)
  local w = read[key]
  if not w then
    w = { key = key, shape = SHAPE[kind] }
    w.does = DOES[w.shape]
    w.does.read(w)
    read[key] = w
  end
  return w
end

-- Holds: the parts of one are key, kind, slot, amount, one after the other

local function drop(id, correction)
  local held = redis.call('HGET', holds, id)
  redis.call('HDEL', holds, id)
  redis.call('ZREM', leases, id)
  local parts = held and cmsgpack.unpack(held) or {}
  for i = 1, #parts, 4 do
    local by = correction((i + 3) / 4, parts[i + 1], parts[i + 3])
    if by ~= 0 then
      local w = window(parts[i], parts[i + 1])
      w.does.correct(w, parts[i + 2], by)
    end
  end
end

local function expire()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, EXPIRED_AT_ONCE)) do
    drop(id, function(_, kind, amount) return FOR_GOOD[kind] and 0 or -amount end)
  end
end

local function charges()
  local all = {}
  for i = 3, #KEYS do
    local at = 4 + (i - 3) * 3
    local kind = ARGV[at]
    all[#all + 1] = {
      w = window(KEYS[i], kind), kind = kind, limit = tonumber(ARGV[at + 1]), amount = tonumber(ARGV[at + 2]),
    }
  end
  return all
end

local function standings(all, answer)
  for _, charge in ipairs(all) do
    local w = charge.w
    answer[#answer + 1] = math.max(0, charge.limit - (w.used or 0))
    answer[#answer + 1] = exact(w.used and w.does.reset(w) or 0)
  end
  return answer
end

local function wait(charge) -- -1 where it fits, infinity where it never does
  local excess = charge.w.used + charge.amount - charge.limit
  if excess <= 0 or charge.amount == 0 then return -1 end
  return charge.amount > charge.limit and math.huge or charge.w.does.wait(charge.w, excess)
end

local function take(id)
  local all = charges()
  if redis.call('HEXISTS', holds, id) == 1 then return standings(all, { 'taken' }) end
  local unseeded = { 'unseeded', exact(now) }
  for i, charge in ipairs(all) do
    if not charge.w.used then unseeded[#unseeded + 1] = i - 1 end
  end
  if #unseeded > 2 then return unseeded end
  local longest, index = -1, nil
  for i, charge in ipairs(all) do
    local one = wait(charge)
    if one > longest then longest, index = one, i end
  end
  if index then
    local left = math.max(0, all[index].limit - all[index].w.used)
    return { 'refused', index - 1, left, longest == math.huge and '' or exact(longest) }
  end
  local parts = {}
  for i, charge in ipairs(all) do
    local slot = charge.w.does.take(charge.w, charge.amount)
    for _, part in ipairs({ KEYS[i + 2], charge.kind, slot, charge.amount }) do parts[#parts + 1] = part end
  end
  redis.call('HSET', holds, id, cmsgpack.pack(parts))
  redis.call('ZADD', leases, now + LEASE_S, id)
  redis.call('EXPIRE', holds, KEEP_S)
  redis.call('EXPIRE', leases, KEEP_S)
  return standings(all, { 'taken' })
end

local function settle(id)
  drop(id, function(i, kind, amount)
    return (kind == 'concurrent_requests' and 0 or tonumber(ARGV[3 + i * 3])) - amount
  end)
end

local function renew()
  for i = 3, #ARGV do redis.call('ZADD', leases, 'XX', now + LEASE_S, ARGV[i]) end
  redis.call('EXPIRE', holds, KEEP_S)
  redis.call('EXPIRE', leases, KEEP_S)
end

local function seed(at)
  for _, charge in ipairs(charges()) do
    if charge.w.does.seed then charge.w.does.seed(charge.w, charge.amount, at) end
  end
end

expire()
if verb == 'take' then return take(ARGV[3]) end
if verb == 'settle' then return settle(ARGV[3]) end
if verb == 'seed' then return seed(tonumber(ARGV[3])) end
return renew()
