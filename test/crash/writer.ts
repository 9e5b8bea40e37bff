import { add, append, cell, clear, clearSet, description, end, keysOf, merge, remove, set, update, type Command, type Expiry, type Keys, type Session, type State } from './model.js'
import { filler, type Random } from './random.js'
import { answerFault, viaCommand, viaCommands, viaKey, viaRest, type Answer, type Operation } from './requests.js'

/** The session that all writers write to, each to keys of its own. */
export const COMMON = 'common'

/** Keys of one writer in one session. Some are hard on whoever puts them into a URL, a JSON text or an index. */
const NAMES = ['__proto__', 'a/b?c&d=e+f%20g', '\u043a\u043b\u044e\u0447', '\ud83d\ude00', '"\\\u0000', 'k'.repeat(1_000),
  ...Array.from({ length: 24 }, (_, index) => `k${index}`)]

const EXPIRIES: readonly Expiry[] = [
  { duration: 0, deleteSession: false },
  { duration: 100_000, deleteSession: true },
  { duration: 200_000, deleteSession: false },
  { duration: 300_000, deleteSession: true, idle: 90_000 },
  { duration: 0, deleteSession: true, idle: 80_000 },
]

/** Sessions beside the first that a writer has at most of its own. */
const MOST_SESSIONS = 4

/** Longer values are replaced, not grown. */
const LONGEST_TO_GROW = 20_000

/** A session that ends by itself after a second: nobody can say when exactly, so nothing is asked of it before. */
export interface Mortal { readonly tkn: string | undefined, readonly startedBy: number }

/**
 * One client, which does one operation after the other, on keys and sessions that no other touches. So after a crash
 * there has to be its state, or what its pending operation made of it.
 */
export interface Writer {
  readonly id: string
  /** Tokens by label, of ended sessions too. */
  readonly tokens: ReadonlyMap<string, string>
  readonly mortals: readonly Mortal[]
  /** After everything that was acknowledged. */
  readonly state: State
  /** Asked for and not answered. */
  readonly pending: Operation | undefined
  /** What to ask for now. */
  next (): Operation
  /** Takes the answer to what is pending; the number of writes that it acknowledges. @throws Error when it is not the right one */
  answered (answer: Answer): number
  /** After a crash: no answer comes, and this is the state. */
  crashed (state: State): void
  /** A token that a session of this writer's turns out to have. */
  learn (label: string, tkn: string): void
}

/** The owner of what a cell is about: what its label or, in the common session, its key starts with. */
export function ownerOf (name: string): string {
  const [label, key] = name.split('\n') as [string, string | undefined]
  return (label === COMMON && key !== undefined ? key : label).split('.')[0]!
}

/** Starts the common session, and does nothing else. Its id is the label, so that it owns the session itself. */
export function commonWriter (): Writer {
  return tableWriter(COMMON, writer => starting(writer, COMMON, 'shared', EXPIRIES[0]!))
}

/** @param common the token of the common session */
export function randomWriter (id: string, common: string, random: Random, { mortals }: { readonly mortals: boolean }): Writer {
  let count = 0
  /** Of up to 20 digits, and no other operation has it. */
  const number = () => `${2n ** 63n + BigInt(count++)}${random.pick(['', '', '.10', 'e400'])}`
  const value = (mark: string) => random.pick([
    () => `{"n":${mark},"by":"${id}","f":"${filler(random, mark)}"}`,
    () => `{"n":${mark},"by":"${id}","f":"${filler(random, mark)}"}`,
    () => `[${mark},"${filler(random, mark)}"]`,
    () => `"${mark} ${filler(random, mark)}"`,
    () => mark,
  ])()

  function command (state: State, tokens: ReadonlyMap<string, string>): Command {
    const labels = [...state.keys()].filter(name => !name.includes('\n'))
    const label = random.chance(0.25) ? COMMON : random.pick(labels)
    const session: Session = { label, tkn: label === COMMON ? common : tokens.get(label)! }
    const mark = number()
    const names = random.some(label === COMMON ? NAMES.slice(0, 12).map(name => `${id}.${name}`) : NAMES, random.pick([1, 1, 1, 3, 8]))
    const values: Keys = new Map(names.map(name => [name, value(mark)]))
    const present = keysOf(state, label).filter(key => label !== COMMON || key.startsWith(`${id}.`))
    const growing = present.filter(key => state.get(cell(label, key))!.length < LONGEST_TO_GROW)
    const object = growing.find(key => state.get(cell(label, key))!.startsWith('{'))
    switch (random.below(20)) {
      case 0: case 1: return add(state, session, values)
      case 2: case 3: case 4: return remove(state, session, names)
      case 5: return remove(state, session, present.length > 0 ? random.some(present, 2) : names)
      case 6: case 7: return append(state, session, growing.length > 0 ? random.some(growing, 3) : names, mark)
      case 8: case 9: return merge(state, session, new Map(names.map(name => [name, random.chance(0.2) ? 'null' : mark])))
      case 10: if (object !== undefined) return update(state, session, object, mark); break
      case 11: if (label !== COMMON) return clearSet(state, session, values); break
      case 12: if (label !== COMMON && random.chance(0.2)) return clear(state, session); break
      case 13: if (label !== COMMON && label !== labels[0]) return end(state, session); break
      case 14: return set(state, session, values, true)
    }
    return set(state, session, values)
  }

  function several (state: State, tokens: ReadonlyMap<string, string>): Command[] {
    const commands: Command[] = []
    for (let left = 2 + random.below(5); left > 0; left--) commands.push(command(commands.at(-1)?.after ?? state, tokens))
    return commands
  }

  /** Starts a private session, or one of three shared ones, which may have been there before, or still be. */
  function start (writer: Starting): Operation {
    const own = [...writer.state.keys()].filter(name => !name.includes('\n')).length
    const shared = random.chance(0.5) || own > MOST_SESSIONS
    const label = shared ? `${id}.shared${random.below(3)}` : `${id}.${count++}`
    return starting(writer, label, shared ? 'shared' : 'private', random.pick(EXPIRIES), random.chance(0.5))
  }

  return tableWriter(id, writer => {
    const { state, tokens } = writer
    if (state.size === 0) return starting(writer, `${id}.home`, 'shared', EXPIRIES[0]!)
    if (mortals && random.chance(0.01)) return starting(writer, `${id}.mortal${count++}`, 'mortal', { duration: 1, deleteSession: true })
    const mortal = random.chance(0.02) ? writer.mortals.at(-1)?.tkn : undefined
    if (mortal !== undefined) return { ...viaCommand(set(state, { label: '', tkn: mortal }, new Map([['k', '1']]))), answer: { status: 200 }, after: [state], writes: 0 }
    if (random.chance(0.05)) return start(writer)
    if (random.chance(0.2)) return viaCommands(several(state, tokens))
    const chosen = command(state, tokens)
    return random.chance(0.4) ? viaCommand(chosen) : (random.chance(0.5) ? viaKey(chosen) : undefined) ?? viaRest(chosen)
  })
}

/** What starting a session changes in a writer beside its state. */
type Starting = Pick<Writer, 'state' | 'tokens' | 'learn'> & { mortals: Mortal[] }

/** Starts a session; one that is there already stays as it is. */
function starting ({ state, tokens, learn, mortals }: Starting, name: string, kind: 'shared' | 'private' | 'mortal', expiry: Expiry, rest = false): Operation {
  const shared = kind === 'shared'
  const params = `{"name":"${name}","shared":${shared},"expiry":${JSON.stringify(expiry)}}`
  const known = tokens.get(name) ?? '[\\w-]{22}'
  const content = `\\{"st":1,"name":"${name}","tkn":"${known}"\\}`
  return {
    request: { method: 'POST', path: rest ? '/sessions' : '/command', body: rest ? params : `{"SH_NEW":${params}}` },
    answer: { status: rest ? 201 : 200, body: new RegExp(rest ? `^${content}$` : `^\\{"SH_NEW_RSP":${content}\\}$`) },
    after: [kind === 'mortal' || state.has(name) ? state : new Map(state).set(name, description(name, shared, expiry))],
    writes: kind === 'mortal' ? 0 : 1,
    starts: { name, kind },
    learn (body) {
      const tkn = /"tkn":"([^"]*)"/.exec(body)![1]!
      if (kind === 'mortal') mortals.push({ tkn, startedBy: Date.now() })
      else learn(name, tkn)
    },
  }
}

function tableWriter (id: string, choose: (writer: Starting) => Operation): Writer {
  const tokens = new Map<string, string>()
  const mortals: Mortal[] = []
  const learn = (label: string, tkn: string) => { tokens.set(label, tkn) }
  let state: State = new Map()
  let pending: Operation | undefined
  return {
    id,
    tokens,
    mortals,
    get state () { return state },
    get pending () { return pending },
    next: () => (pending = choose({ state, tokens, mortals, learn })),
    answered (answer) {
      const { after, writes, learn } = pending!
      const fault = answerFault(pending!, answer)
      if (fault !== undefined) throw new Error(fault)
      learn?.(answer.body)
      state = after.at(-1)!
      pending = undefined
      return writes
    },
    crashed (found) {
      if (pending?.starts?.kind === 'mortal') mortals.push({ tkn: undefined, startedBy: Date.now() })
      state = found
      pending = undefined
    },
    learn,
  }
}
