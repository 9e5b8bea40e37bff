import { createHash } from 'node:crypto'
import { GRACE } from './layout.js'

/** What the script is asked to do: its first argument. */
export const OPERATION = {
  /** Expire if due, read, renew the idle deadline if told to. */
  read: 'r',
  /** Read, and change nothing. */
  look: 'l',
  /** Read, and change nothing but what has ended: for a decision whose write follows. */
  peek: 'p',
  /** Expire if due, read, write; nothing when the version is not the one expected. */
  write: 'w',
  /** Add a session with its keys, unless it is alive. */
  create: 'c',
  /** End a session. */
  remove: 'd',
  /** Take back the renewal of an idle deadline, if that is still the last and nothing has been written since. */
  undo: 'u',
} as const

/** What the script did, first in its answer. */
export const RESULT = {
  done: 1,
  /** Nothing, because the version was another one: the answer is what is there. */
  conflict: 0,
  /** Nothing, because another gateway has its turn. */
  busy: 2,
} as const

/** Milliseconds for which a gateway that others keep forestalling has its turn. */
const TURN = 200

/** Fields or values in one call of the engine: Lua passes some 8,000 arguments at most. */
const CHUNK = 1_000

/**
 * One atomic step on one session: the engine runs nothing else meanwhile. Its key: the first of keysOf(). ARGV, the same for every operation:
 *
 *   1 operation   2 now   3 version expected, '' for any   4 version to write   5 whether to renew the idle deadline
 *   6 whether to clear   7 times to write, '' to keep them (undo: those to take back)   8 name to write (undo: the times before)
 *   9 how many values to read   10 how many presences   11 what else: '' nothing, 'a' all entries, 'n' the names that begin with 12
 *   13 how many keys to write   14 who asks for a turn, '' for nobody   15 when it is too late to change anything, by the engine's clock, '' for never
 *   then the keys whose values are read, those whose presence is, then each key that is written and its value, then the keys to remove
 *
 * It answers nothing when there is no such session (and for create, when it was added); else what was there before, expiry not
 * applied: result, times, version, name, size, the values, the presences (1 or 0), and then all entries or names in turn.
 */
export const SCRIPT = `
local main, stay = KEYS[1], KEYS[1] .. ':stay'
local op, now, expected, version = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local FIXED = 15
local call = redis.call

local function clock ()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A network may deliver what was sent long ago, when later changes have been made and answered.
if ARGV[15] ~= '' and clock() >= tonumber(ARGV[15]) then return redis.error_reply('LATE a change came after its deadline, by the clock of this server') end

-- What somebody else has written can be ended, and nothing else.
local function damaged ()
  if op ~= 'd' then return redis.error_reply('DAMAGED ' .. main .. ' is not as Holdfast writes it') end
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
local times, current, name, turn = held[1], held[2] or '-', held[3], held[4]
local here = times and true or false
if not here then
  local kept = call('GET', stay)
  if kept then times, name = string.match(kept, '^(%d+ %d+ %d+ %d %d %d+ %d+) (.*)$') end
end

local due, idle, duration, deletes, shared, started, used, over
if times then
  due, idle, duration, deletes, shared, started, used = string.match(times, '^(%d+) (%d+) (%d+) (%d) (%d) (%d+) (%d+)$')
  if not due or not name then return damaged() end
  due = tonumber(due)
  over = due > 0 and now >= due
  if over and op ~= 'l' and deletes == '1' then
    if op ~= 'c' then call('UNLINK', main) end
    times, here = false, false
  end
end
if not times and op ~= 'c' then return false end

local answer = {${RESULT.done}, times, current, name, 0}
if here then answer[5] = call('HLEN', main) - (turn and 4 or 3) end
local count = 5
local reading = FIXED + ARGV[9]
local writing = reading + ARGV[10]
if times then
  for from = FIXED + 1, reading, ${CHUNK} do
    for _, value in ipairs(call('HMGET', main, unpack(ARGV, from, math.min(from + ${CHUNK - 1}, reading)))) do
      count = count + 1
      answer[count] = value
    end
  end
  for at = reading + 1, writing do
    count = count + 1
    answer[count] = call('HEXISTS', main, ARGV[at])
  end
  if ARGV[11] == 'a' then
    local entries = call('HGETALL', main)
    for at = 1, #entries, 2 do
      if string.byte(entries[at]) ~= 255 then
        answer[count + 1] = entries[at]
        answer[count + 2] = entries[at + 1]
        count = count + 2
      end
    end
  elseif ARGV[11] == 'n' then
    local prefix = ARGV[12]
    for _, key in ipairs(call('HKEYS', main)) do
      if string.byte(key) ~= 255 and string.sub(key, 1, #prefix) == prefix then
        count = count + 1
        answer[count] = key
      end
    end
  end
end

if op == 'p' or op == 'l' then return answer end
local renewing = ARGV[5] == '1' and idle ~= '0'
if op == 'r' and not over and not renewing then return answer end

local moment
if op == 'w' then
  if turn or ARGV[14] ~= '' then moment = clock() end
  if turn then
    local who, lapses = string.match(turn, '^(%S+) (%d+)$')
    local rest = tonumber(lapses or 0) - moment
    -- One that lasts longer was given by a clock that was ahead: before it was put right, or on another server.
    if who ~= ARGV[14] and rest > 0 and rest <= ${TURN} then
      answer[1] = ${RESULT.busy}
      return answer
    end
  end
  if expected ~= '' and expected ~= current then
    if ARGV[14] ~= '' and here then call('HSET', main, '\\255c', string.format('%s %.0f', ARGV[14], moment + ${TURN})) end
    answer[1] = ${RESULT.conflict}
    return answer
  end
  if turn then call('HDEL', main, '\\255c') end
end

-- An engine without memory refuses what may need some, but only as the first change of a script: one that frees some goes on.
if op == 'w' and ARGV[13] == '0' and ARGV[7] == '' then call('HDEL', main, '\\255') end

local removing = writing + 2 * ARGV[13]
local emptied = op == 'c' or over or not here or ARGV[6] == '1'
if op == 'w' and not emptied and not renewing and ARGV[7] == '' and removing - writing <= ${CHUNK} and #ARGV - removing <= ${CHUNK} then
  call('HSET', main, '\\255v', version, unpack(ARGV, writing + 1, removing))
  if #ARGV > removing then call('HDEL', main, unpack(ARGV, removing + 1, #ARGV)) end
  return answer
end

-- The second key comes first: while a slot moves it can be on the other server, and this ends with an error before anything is changed.
local stayed = times and deletes == '0' and due > 0
if op == 'd' then
  if stayed then call('UNLINK', stay) end
  call('UNLINK', main)
  return answer
end

if times then idle, duration, started, used = tonumber(idle), tonumber(duration), tonumber(started), tonumber(used) end

local function put (text, title)
  local next, stays = string.match(text, '^(%d+) %d+ %d+ (%d)')
  next = tonumber(next)
  if stays == '0' and next > 0 then call('SET', stay, text .. ' ' .. title) elseif stayed then call('DEL', stay) end
  call('HSET', main, '\\255t', text, '\\255n', title)
  local ttl = next - now + ${GRACE}
  if next > 0 and ttl < 1e15 then call('PEXPIRE', main, string.format('%.0f', math.max(ttl, 1))) else call('PERSIST', main) end
end

-- The hash itself stays: while its slot moves to another server of a cluster, this one cannot make it again once it is gone.
local function wipe ()
  local keys = {}
  for _, key in ipairs(call('HKEYS', main)) do
    if string.byte(key) ~= 255 then keys[#keys + 1] = key end
  end
  for from = 1, #keys, ${CHUNK} do call('HDEL', main, unpack(keys, from, math.min(from + ${CHUNK - 1}, #keys))) end
end

-- The times of the session as it stands and is used now, or nothing when they are what they were.
local function settled ()
  if over then
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

if op == 'u' then
  if here and times == ARGV[7] and current == expected then put(ARGV[8], name) end
  return answer
end

if op == 'r' or (op == 'c' and times) then
  emptied = over or not here
  renewing = renewing and op == 'r'
  call('HDEL', main, '\\255') -- As above.
  local text = settled()
  if text then put(text, name) end
  if over then wipe() end
  if emptied then call('HSET', main, '\\255v', version) end
  return answer
end

local text, title = ARGV[7], ARGV[8]
if text == '' then text, title = settled(), name end
if text then put(text, title) end
if emptied then wipe() end
call('HSET', main, '\\255v', version)
for from = writing + 1, removing, ${CHUNK} do call('HSET', main, unpack(ARGV, from, math.min(from + ${CHUNK - 1}, removing))) end
for from = removing + 1, #ARGV, ${CHUNK} do call('HDEL', main, unpack(ARGV, from, math.min(from + ${CHUNK - 1}, #ARGV))) end
if op == 'c' then return false end
return answer
`

/** Where the limit stands among the arguments: ARGV 15. */
export const LIMIT = 14

/** What EVALSHA calls the script by. */
export const SCRIPT_SHA = createHash('sha1').update(SCRIPT).digest('hex')
