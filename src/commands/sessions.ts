import { setImmediate as nextTurn } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import { command } from '../protocol/command.js'
import { access, sessionId, type Gateway } from '../protocol/gateway.js'
import { optional, required } from '../protocol/param.js'
import { deadline, type Session } from '../session.js'
import { statusNumber, StatusError } from '../status.js'
import { count, EXAMPLE_TOKEN, expiryParam, ExpiryInfo, name, nameParam, seconds, st, tknParam, Token } from './schemas.js'

const ok = statusNumber('Ok')

/** How many tokens SH_EXISTS looks up before it lets other requests run. */
const TOKENS_PER_TURN = 1000

/** What SH_INFO says of a session's expiry (PROTOCOL 4). `time`, in seconds, is rounded up: by then the session has expired. */
function expiryInfo (session: Session) {
  const { duration, idle } = session
  const at = deadline(session)
  const expires = at !== Infinity
  return {
    expires,
    duration,
    time: expires ? Math.ceil(at / 1000) : 0,
    deleteSession: expires && session.deleteSession,
    ...idle > 0 && { idle },
  }
}

async function find (gateway: Gateway, tkn: string) {
  const found = await gateway.store.find(sessionId(tkn), gateway.now())
  if (found === undefined) throw new StatusError('SessionNotExist')
  return found
}

export const SH_NEW = command({
  tag: 'sessions',
  store: 'writes',
  sharedName: given => given.get('shared') === true ? given.get('name') : undefined,
  // Nobody else knows the token yet; that of a shared session follows from its name.
  overlaps: names => !names.includes('shared'),
  summary: 'Start a session',
  description: 'Starts a session and gives its token. With `shared` the token is derived from the name, so that SH_OPEN finds it; a shared session of that name that is alive is returned as it is.',
  params: {
    name: nameParam,
    shared: optional(Type.Boolean({ description: 'Whether others can open the session by its name; false unless given.' })),
    expiry: expiryParam,
  },
  reply: Type.Object({ st, name, tkn: Token }),
  example: {
    params: { name: 'basket', expiry: { duration: 3600, deleteSession: true } },
    reply: { st: 1, name: 'basket', tkn: EXAMPLE_TOKEN },
  },
  run: async (gateway, { name, shared = false, expiry }) => {
    const tkn = shared ? await gateway.sharedToken(name) : gateway.newToken()
    const now = gateway.now()
    const { duration, deleteSession, idle = 0 } = expiry ?? { duration: 0, deleteSession: false }
    await gateway.store.create(sessionId(tkn), { name, shared, duration, idle, deleteSession, startedAt: now, usedAt: now }, now)
    return { st: ok, name, tkn }
  },
})

export const SH_OPEN = command({
  tag: 'sessions',
  store: 'reads',
  sharedName: given => given.get('name'),
  summary: 'Open a shared session by name',
  description: 'Gives the token of the shared session of this name, if it is alive.',
  params: { name: nameParam },
  reply: Type.Object({ st, name, tkn: Token }),
  failures: ['SessionOpenFail'],
  example: { params: { name: 'settings' }, reply: { st: 1, name: 'settings', tkn: EXAMPLE_TOKEN } },
  run: async (gateway, { name }) => {
    const tkn = await gateway.sharedToken(name)
    const found = await gateway.store.find(sessionId(tkn), gateway.now())
    if (found === undefined) throw new StatusError('SessionOpenFail')
    return { st: ok, name, tkn }
  },
})

export const SH_INFO = command({
  tag: 'sessions',
  store: 'reads',
  summary: 'Describe a session',
  description: 'Name, kind, number of keys and expiry of a session. Does not count as use: the idle time runs on.',
  params: { tkn: tknParam },
  reply: Type.Object({ st, tkn: Token, name, shared: Type.Boolean({ description: 'Whether others can open the session by its name.' }), keyCnt: count('Keys in the session.'), expiry: ExpiryInfo }),
  failures: ['SessionNotExist'],
  example: {
    params: { tkn: EXAMPLE_TOKEN },
    reply: { st: 1, tkn: EXAMPLE_TOKEN, name: 'basket', shared: false, keyCnt: 2, expiry: { expires: true, duration: 3600, time: 1796000000, deleteSession: true } },
  },
  run: async (gateway, { tkn }) => {
    const { session, size } = await find(gateway, tkn)
    return { st: ok, tkn, name: session.name, shared: session.shared, keyCnt: size, expiry: expiryInfo(session) }
  },
})

export const SH_INFO_ALL = command({
  tag: 'sessions',
  store: 'reads',
  role: 'server',
  summary: 'Count all sessions',
  description: 'Counts the sessions that are alive, and their keys. For operators.',
  params: {},
  reply: Type.Object({ totalSessions: count('Sessions that are alive.'), totalKeys: count('Keys of all sessions together.') }),
  example: { params: {}, reply: { totalSessions: 3, totalKeys: 12 } },
  run: async gateway => {
    const { sessions, keys } = await gateway.store.totals(gateway.now())
    return { totalSessions: sessions, totalKeys: keys }
  },
})

export const SH_EXISTS = command({
  tag: 'sessions',
  store: 'reads',
  summary: 'Ask which sessions exist',
  description: 'Of the tokens given, those whose session is alive, in the order asked.',
  params: { tkns: required(Type.Array(Type.String(), { description: 'Tokens to ask about.' })) },
  reply: Type.Object({ st, exist: Type.Array(Type.String(), { description: 'The tokens whose session is alive.' }) }),
  example: { params: { tkns: [EXAMPLE_TOKEN, 'gone'] }, reply: { st: 1, exist: [EXAMPLE_TOKEN] } },
  run: async (gateway, { tkns }) => {
    const now = gateway.now()
    const exist: string[] = []
    for (let start = 0; start < tkns.length; start += TOKENS_PER_TURN) {
      if (start > 0) await nextTurn()
      const some = tkns.slice(start, start + TOKENS_PER_TURN)
      // All at once, so that a store across a network takes one round trip and not a thousand.
      const found = await Promise.all(some.map(async tkn => await gateway.store.find(sessionId(tkn), now)))
      exist.push(...some.filter((_, index) => found[index] !== undefined))
    }
    return { st: ok, exist }
  },
})

export const SH_TOUCH = command({
  tag: 'sessions',
  store: 'writes',
  summary: 'Start a session\'s time again',
  description: 'Starts the time of a session again, with a new duration if one is given.',
  params: { duration: optional(seconds('The new duration in seconds; 0 for never.')), tkn: tknParam },
  reply: Type.Object({ st, tkn: Token, expiry: ExpiryInfo }),
  failures: ['SessionNotExist'],
  example: {
    params: { tkn: EXAMPLE_TOKEN, duration: 7200 },
    reply: { st: 1, tkn: EXAMPLE_TOKEN, expiry: { expires: true, duration: 7200, time: 1796003600, deleteSession: true } },
  },
  run: async (gateway, { tkn, duration }) => {
    const now = gateway.now()
    const expiry = await access(gateway, tkn, {
      reads: {},
      mayWrite: true,
      touch: false,
      decide: view => {
        if (duration === undefined && deadline(view.session) === Infinity) return { reply: expiryInfo(view.session) }
        const session = { ...view.session, duration: duration ?? view.session.duration, startedAt: now, usedAt: now }
        return { reply: expiryInfo(session), session }
      },
    })
    return { st: ok, tkn, expiry }
  },
})

export const SH_END = command({
  tag: 'sessions',
  store: 'writes',
  summary: 'End a session',
  description: 'Ends a session at once, whatever its expiry says. Its keys are gone.',
  params: { tkn: tknParam },
  reply: Type.Object({ st, tkn: Token }),
  failures: ['SessionNotExist'],
  example: { params: { tkn: EXAMPLE_TOKEN }, reply: { st: 1, tkn: EXAMPLE_TOKEN } },
  run: async (gateway, { tkn }) => {
    if (!await gateway.store.remove(sessionId(tkn), gateway.now())) throw new StatusError('SessionNotExist')
    return { st: ok, tkn }
  },
})

export const SH_END_ALL = command({
  tag: 'sessions',
  store: 'writes',
  role: 'admin',
  reachesAll: true,
  summary: 'End all sessions',
  description: 'Ends every session. For operators. Wants `all`, so that a request which lost its token on the way ends nothing.',
  params: {
    all: required(Type.Boolean({ description: '`true`: all sessions are meant.' }), { beyond: all => all ? undefined : 'ParamMissing' }),
  },
  reply: Type.Object({ st, cnt: count('Sessions that were ended.') }),
  example: { params: { all: true }, reply: { st: 1, cnt: 3 } },
  run: async gateway => ({ st: ok, cnt: await gateway.store.clear(gateway.now()) }),
})
