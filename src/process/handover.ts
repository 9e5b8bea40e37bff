import type { ChildProcess } from 'node:child_process'

/** The parts used here of Node's own handle of a connection, which node:cluster has accepted and sends to a process. */
interface Handle {
  /** -1 once it is closed on this side. */
  readonly fd: number
  close (): void
}

function isConnection (value: unknown): value is Handle {
  return typeof value === 'object' && value !== null && 'fd' in value && 'close' in value && typeof value.close === 'function'
}

/**
 * Closes the connections that were on their way to a process when it died. node:cluster (round robin, up to Node 26 at least)
 * keeps its side of a connection open until the process confirms that it has it, and for ever when none does: that client would
 * wait for an answer that nobody gives.
 */
export function closeLostConnections (child: ChildProcess): void {
  let onTheirWay: Handle[] = []
  const send = child.send
  child.send = (...args: unknown[]) => {
    // node:cluster closes its handle once the process confirms that it has the connection.
    onTheirWay = onTheirWay.filter(({ fd }) => fd !== -1)
    if (isConnection(args[1])) onTheirWay.push(args[1])
    return Reflect.apply(send, child, args)
  }
  child.once('exit', () => {
    for (const handle of onTheirWay) if (handle.fd !== -1) handle.close()
  })
}
