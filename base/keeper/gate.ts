/** Where changes wait while another release still serves: its cells would go on as if they had not been made. */
export class Gate {
  readonly #opened = Promise.withResolvers<void>()

  constructor(isOpen: boolean) {
    if (isOpen) this.open()
  }

  /** Idempotent; it is never closed again. */
  open(): void {
    this.#opened.resolve()
  }

  /** Resolves once it is open. */
  get opened(): Promise<void> {
    return this.#opened.promise
  }
}
