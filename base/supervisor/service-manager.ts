/**
 * Says to the service manager that has started the base how far it is, by the protocol of systemd (`Type=notify`). The program `systemd-notify` sends it,
 * since Node.js has no local datagram sockets.
 */
import { execFile } from 'node:child_process'
import { limits } from '../kernel/limits.ts'
import type { Logger } from '../kernel/log.ts'

type Variable = 'READY' | 'STATUS' | 'STOPPING' | 'WATCHDOG'

/** systemd ignores a message of over 4096 bytes. */
const STATUS_CHARS_MAX = 1000

/** Does nothing when no service manager wants to be notified: then `NOTIFY_SOCKET` is not set. No method throws or waits. */
export class ServiceManager {
  readonly #socket: string | undefined
  readonly #path: string | undefined
  readonly #log: Logger
  /** Milliseconds between two signs of life, half of what the service manager allows; undefined when it watches for none. */
  readonly #beatMs: number | undefined
  /** Not yet: a supervisor that takes over from another gives a sign at its first tick. */
  #beatAt = Number.NEGATIVE_INFINITY
  #status = ''
  /** What has not been sent. Of each variable, only the last value counts. */
  #pending = new Map<Variable, string>()
  #isSending = false
  /** Before this time nothing is sent. */
  #notBefore = Number.NEGATIVE_INFINITY
  #hasWarned = false

  constructor({ NOTIFY_SOCKET: socket, PATH: path, WATCHDOG_USEC: watchdog }: NodeJS.ProcessEnv, log: Logger) {
    this.#socket = socket === '' ? undefined : socket
    this.#path = path
    this.#log = log
    const allowedMs = Number(watchdog ?? 0) / 1000
    this.#beatMs = allowedMs > 0 ? allowedMs / 2 : undefined
  }

  /** The base answers. */
  ready(): void {
    this.#set('READY', '1')
  }

  /** What the base does, in a line that `systemctl status` shows. */
  status(text: string): void {
    if (text === this.#status) return
    this.#status = text
    this.#set('STATUS', text.replaceAll(/\s+/g, ' ').slice(0, STATUS_CHARS_MAX))
  }

  stopping(): void {
    this.#set('STOPPING', '1')
  }

  /** Gives a sign of life when one is due, and sends what could not be sent before. Call it every `limits.process.heartbeatMs`. */
  tick(): void {
    const now = performance.now()
    if (this.#beatMs !== undefined && now - this.#beatAt >= this.#beatMs) {
      this.#beatAt = now
      this.#pending.set('WATCHDOG', '1')
    }
    this.#send()
  }

  /** What is set in one turn of the event loop goes out together. */
  #set(variable: Variable, value: string): void {
    this.#pending.set(variable, value)
    setImmediate(() => this.#send())
  }

  /** One message is under way at a time, so that none overtakes another. */
  #send(): void {
    if (this.#socket === undefined || this.#isSending || this.#pending.size === 0 || performance.now() < this.#notBefore) return
    const sent = this.#pending
    this.#pending = new Map()
    this.#isSending = true
    const assignments = [...sent].map(([variable, value]) => `${variable}=${value}`)
    const env = { NOTIFY_SOCKET: this.#socket, ...(this.#path !== undefined && { PATH: this.#path }) }
    const child = execFile('systemd-notify', assignments, { env, timeout: limits.process.notifyMsMax }, (error, _, said) => {
      this.#isSending = false
      if (error !== null) this.#failed(sent, error.code === 'ENOENT' ? undefined : said.trim() || error.message)
      this.#send()
    })
    // A base that ends does not wait for it.
    child.unref()
  }

  /** @param why it could not be sent; undefined when there is no `systemd-notify` */
  #failed(sent: ReadonlyMap<Variable, string>, why: string | undefined): void {
    this.#pending = new Map([...sent, ...this.#pending])
    this.#notBefore = why === undefined ? Number.POSITIVE_INFINITY : performance.now() + limits.process.notifyAgainMs
    if (this.#hasWarned) return
    this.#hasWarned = true
    this.#log.warn(
      why === undefined
        ? 'the service manager is not notified, and may take the base for one that does not start: systemd-notify is not installed; install it (it comes with systemd), or use Type=exec'
        : `the service manager could not be notified, which is tried again: ${why}`,
    )
  }
}
