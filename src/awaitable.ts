/** What is answered at once where it can be, and later where it must be. A promise for every answer would cost more than most answers do. */
export type Awaitable<T> = T | Promise<T>

/** Goes on with an answer: at once when it is there. What `next` throws is thrown, or rejects. */
export function andThen<T, U> (answer: Awaitable<T>, next: (answer: T) => Awaitable<U>): Awaitable<U> {
  return answer instanceof Promise ? answer.then(next) : next(answer)
}
