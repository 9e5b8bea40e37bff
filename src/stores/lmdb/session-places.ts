/** Where the records of sessions are in a file, in little memory: there can be more of them than a Map holds. */
export class SessionPlaces {
  #generations = new Float64Array(1_024)
  #pages = new Float64Array(1_024)
  #nodes = new Uint16Array(1_024)
  #count = 0

  /** @param generation that the session's keys are stored under @param page with its record @param node the byte offset on that page */
  add (generation: number, page: number, node: number): void {
    if (this.#count === this.#nodes.length) this.#grow()
    this.#generations[this.#count] = generation
    this.#pages[this.#count] = page
    this.#nodes[this.#count] = node
    this.#count++
  }

  /** In the order of the generations. Leaves out records that share one: no sound ones do, so these contradict each other. */
  * inOrder (): Generator<{ readonly generation: number, readonly page: number, readonly node: number }> {
    const generationAt = (index: number | undefined) => index === undefined ? undefined : this.#generations[index]
    const order = new Uint32Array(this.#count).map((_, index) => index).sort((a, b) => this.#generations[a]! - this.#generations[b]!)
    for (const [at, index] of order.entries()) {
      const generation = this.#generations[index]!
      if (generation === generationAt(order[at - 1]) || generation === generationAt(order[at + 1])) continue
      yield { generation, page: this.#pages[index]!, node: this.#nodes[index]! }
    }
  }

  #grow (): void {
    const length = 2 * this.#count
    const [generations, pages, nodes] = [new Float64Array(length), new Float64Array(length), new Uint16Array(length)]
    generations.set(this.#generations)
    pages.set(this.#pages)
    nodes.set(this.#nodes)
    ;[this.#generations, this.#pages, this.#nodes] = [generations, pages, nodes]
  }
}
