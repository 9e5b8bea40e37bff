import type { SessionStore } from '../src/session.js'

/** A store with some of its parts replaced. A copy of its members would not do: the methods of a class are not among them. */
export function overriding<Parts extends object> (store: SessionStore, parts: Parts): SessionStore & Parts {
  return new Proxy(store, {
    get (target, name) {
      if (Object.hasOwn(parts, name)) return Reflect.get(parts, name)
      const member: unknown = Reflect.get(target, name)
      return typeof member === 'function' ? member.bind(target) : member
    },
    set: (_target, name, value) => Reflect.set(parts, name, value),
  }) as SessionStore & Parts // As get() answers.
}
