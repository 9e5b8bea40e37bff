import { ENGINE_GRACE_MS } from './layout.js'

/** Milliseconds of a lease: for so long a gateway that others keep forestalling is the only one that can write. */
const LEASE_MS = 200

// What the script does with its arguments. It knows them, and what it answers, by the names that script.ts gives them; words in
// capitals such as WRITE and BUSY stand for values that script.ts puts in their place.

/** Reads what is kept about the session, and ends it when it has expired. Comes after ARGUMENTS. */
export const BEGINNING = `
local function clock ()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A network may deliver what was sent long ago, when later changes have been made and answered.
if limit ~= '' and clock() >= tonumber(limit) then return redis.error_reply('LATE a change came after its deadline, by the clock of this server') end

-- What somebody else has written can be ended, and nothing else.
local function damaged ()
  if op ~= REMOVE then return redis.error_reply('DAMAGED ' .. main .. ' is not as Holdfast writes it') end
  call('UNLINK', main)
  redis.pcall('UNLINK', stay)
  return false
end

local held = redis.pcall('HMGET', main, '\\255t', '\\255v', '\\255n', '\\255c')
if held.err then
  -- Such as NOPERM, which says nothing about the data.
  if not string.find(held.err, 'WRONGTYPE', 1, true) then return held end
  return damaged()
end
local times, current, name, lease = held[1], held[2] or '-', held[3], held[4]
local has_hash = times and true or false
if not has_hash then
  local kept = call('GET', stay)
  if kept then times, name = string.match(kept, '^(%d+ %d+ %d+ %d %d %d+ %d+) (.*)$') end
end

local due, idle, duration, deletes, shared, started, used, expired
if times then
  due, idle, duration, deletes, shared, started, used = string.match(times, '^(%d+) (%d+) (%d+) (%d) (%d) (%d+) (%d+)$')
  if not due or not name then return damaged() end
  due = tonumber(due)
  expired = due > 0 and now >= due
  if expired and op ~= LOOK and deletes == '1' then
    if op ~= CREATE then call('UNLINK', main) end
    times, has_hash = false, false
  end
end
if not times and op ~= CREATE then return false end

local size = has_hash and call('HLEN', main) - (lease and 4 or 3) or 0
`

/** Changes what is to be changed. Comes after ANSWER. */
export const CHANGES = `
if op == PEEK or op == LOOK then return answer end
local renewing = touch == '1' and idle ~= '0'
if op == READ and not expired and not renewing then return answer end

if op == WRITE then
  local moment = (lease or lessee ~= '') and clock()
  if lease then
    local who, lapses = string.match(lease, '^(%S+) (%d+)$')
    local left = tonumber(lapses or 0) - moment
    -- One that lasts longer was given by a clock that was ahead: before it was put right, or on another server.
    if who ~= lessee and left > 0 and left <= ${LEASE_MS} then
      answer[RESULT] = BUSY
      return answer
    end
  end
  if expected ~= '' and expected ~= current then
    if lessee ~= '' and has_hash then call('HSET', main, '\\255c', string.format('%s %.0f', lessee, moment + ${LEASE_MS})) end
    answer[RESULT] = CONFLICT
    return answer
  end
  if lease then call('HDEL', main, '\\255c') end
end

-- An engine without memory refuses what may need some, but only as the first change of a script: one that frees some goes on.
if op == WRITE and sets == '0' and new_times == '' then call('HDEL', main, '\\255') end

local emptied = op == CREATE or expired or not has_hash or clear == '1'
if op == WRITE and not emptied and not renewing and new_times == '' and last_set - last_presence <= CHUNK and last_removal - last_set <= CHUNK then
  call('HSET', main, '\\255v', version, unpack(ARGV, last_presence + 1, last_set))
  if last_removal > last_set then call('HDEL', main, unpack(ARGV, last_set + 1, last_removal)) end
  return answer
end

-- The second key comes first: while a slot moves it can be on the other server, and this ends with an error before anything is changed.
local stayed = times and deletes == '0' and due > 0
if op == REMOVE then
  if stayed then call('UNLINK', stay) end
  call('UNLINK', main)
  return answer
end

if times then idle, duration, started, used = tonumber(idle), tonumber(duration), tonumber(started), tonumber(used) end

-- Calls back with a first and a last one of so many at a time.
local function chunks (first, last, each)
  for from = first, last, CHUNK do each(from, math.min(from + CHUNK - 1, last)) end
end

local function put (text, title)
  local next, stays = string.match(text, '^(%d+) %d+ %d+ (%d)')
  next = tonumber(next)
  if stays == '0' and next > 0 then call('SET', stay, text .. ' ' .. title) elseif stayed then call('DEL', stay) end
  call('HSET', main, '\\255t', text, '\\255n', title)
  local ttl = next - now + ${ENGINE_GRACE_MS}
  if next > 0 and ttl < 1e15 then call('PEXPIRE', main, string.format('%.0f', math.max(ttl, 1))) else call('PERSIST', main) end
end

-- The hash itself stays: while its slot moves to another server of a cluster, this one cannot make it again once it is gone.
local function wipe ()
  local keys = {}
  for _, key in ipairs(call('HKEYS', main)) do
    if string.byte(key) ~= 255 then keys[#keys + 1] = key end
  end
  chunks(1, #keys, function (from, to) call('HDEL', main, unpack(keys, from, to)) end)
end

-- The times of the session after this step: expired, it has begun anew; touched, it is used now. Nothing when they are what they were.
local function times_after ()
  if expired then
    local period = math.huge
    if duration > 0 then period = duration * 1000 end
    if idle > 0 then period = math.min(period, idle * 1000) end
    started = due + math.floor((now - due) / period) * period
    used = started
  end
  local before = used
  if renewing and now > used then used = now end
  if not emptied and used == before then return nil end
  local next = math.huge
  if duration > 0 then next = started + duration * 1000 end
  if idle > 0 then next = math.min(next, used + idle * 1000) end
  if next == math.huge then next = 0 end
  return string.format('%.0f %.0f %.0f %s %s %.0f %.0f', next, idle, duration, deletes, shared, started, used)
end

if op == UNDO then
  if has_hash and times == new_times and current == expected then put(new_name, name) end
  return answer
end

if op == READ or (op == CREATE and times) then
  emptied = expired or not has_hash
  renewing = renewing and op == READ
  call('HDEL', main, '\\255') -- As above.
  local text = times_after()
  if text then put(text, name) end
  if expired then wipe() end
  if emptied then call('HSET', main, '\\255v', version) end
  return answer
end

local text, title = new_times, new_name
if text == '' then text, title = times_after(), name end
if text then put(text, title) end
if emptied then wipe() end
call('HSET', main, '\\255v', version)
chunks(last_presence + 1, last_set, function (from, to) call('HSET', main, unpack(ARGV, from, to)) end)
chunks(last_set + 1, last_removal, function (from, to) call('HDEL', main, unpack(ARGV, from, to)) end)
if op == CREATE then return false end
return answer
`
