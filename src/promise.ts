/** A promise, and the two functions that settle it. */
export interface PromiseWithResolvers<T> {
  readonly promise: Promise<T>
  resolve (value: T): void
  reject (error: unknown): void
}

/** As Promise.withResolvers(), which Node 20 does not have. */
export function promiseWithResolvers<T> (): PromiseWithResolvers<T> {
  // Both are replaced before the constructor of the promise returns.
  let resolve: (value: T) => void = () => {}
  let reject: (error: unknown) => void = () => {}
  const promise = new Promise<T>((_resolve, _reject) => {
    resolve = _resolve
    reject = _reject
  })
  return { promise, resolve, reject }
}
