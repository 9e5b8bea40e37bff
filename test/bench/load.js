// A load of its own process, as light as can be: a load generator slower than the server hides everything. Each connection is a raw
// socket that sends the same request again as soon as its reply is whole.
//
//     echo '{"port":8080,"connections":64,"seconds":2,"requests":["GET / HTTP/1.1\r\n…"]}' | node test/bench/load.js
//
// Connections take the requests in turn. Prints {"count", "seconds", "failed", "p50", "p99"}, times in milliseconds.
import { once } from 'node:events'
import { connect } from 'node:net'
import { json } from 'node:stream/consumers'

const { port, connections, seconds, requests } = await json(process.stdin)
const texts = requests.map(text => Buffer.from(text))
const latencies = []
let failed = 0
let next = 0
let isOver = false

const END_OF_HEADERS = Buffer.from('\r\n\r\n')

/** The length of the reply that stands at the beginning of some bytes; undefined while its headers are not whole. */
function replyLength (bytes) {
  const end = bytes.indexOf(END_OF_HEADERS)
  if (end < 0) return undefined
  const [, length = '0'] = /\r\ncontent-length: (\d+)/i.exec(bytes.latin1Slice(0, end + 2)) ?? []
  return end + END_OF_HEADERS.length + Number(length)
}

async function open () {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  let sentAt = 0
  let received = Buffer.alloc(0)
  let missing
  const send = () => {
    sentAt = performance.now()
    socket.write(texts[next++ % texts.length])
  }
  socket.on('data', bytes => {
    if (missing === undefined) {
      received = received.length === 0 ? bytes : Buffer.concat([received, bytes])
      const length = replyLength(received)
      if (length === undefined) return
      if (received[9] !== 0x32) failed++ // HTTP/1.1 2…
      missing = length - received.length
      received = Buffer.alloc(0)
    } else missing -= bytes.length
    if (missing > 0) return
    missing = undefined
    latencies.push(performance.now() - sentAt)
    if (!isOver) send()
  })
  socket.on('error', () => { failed++ })
  return { socket, send }
}

const all = await Promise.all(Array.from({ length: connections }, open))
const began = performance.now()
setTimeout(() => {
  isOver = true
  const took = (performance.now() - began) / 1e3
  for (const { socket } of all) socket.destroy()
  const count = latencies.length
  const sorted = Float64Array.from(latencies).sort()
  const at = share => sorted[Math.min(Math.floor(share * count), count - 1)]
  console.log(JSON.stringify({ count, seconds: took, failed, p50: at(0.5), p99: at(0.99) }))
}, seconds * 1e3)
for (const { send } of all) send()
