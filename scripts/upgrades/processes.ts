/** The processes of bases, as the system lists them. Linux only. */
import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export interface BaseProcess {
  readonly pid: number
  readonly role: 'launcher' | 'supervisor' | 'keeper' | 'cell' | 'other'
}

/** The processes that run code of this folder. What starts a cell behind a wall counts as that cell. */
export function processesOf(folder: string): BaseProcess[] {
  return readdirSync('/proc').flatMap(name => {
    const args = /^\d+$/.test(name) ? argsOf(name) : []
    const entry = args.findIndex(arg => arg.startsWith(`${folder}/`) && /^(main\.[jt]s|base\.cjs)$/.test(basename(arg)))
    return entry < 0 ? [] : [{ pid: Number(name), role: roleOf(args[entry] ?? '', args[entry + 1]) }]
  })
}

function argsOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    // It has ended meanwhile.
    return []
  }
}

function roleOf(entry: string, command: string | undefined): BaseProcess['role'] {
  if (command === 'start') return entry.endsWith('.cjs') ? 'launcher' : 'supervisor'
  return command === 'keeper' || command === 'cell' ? command : 'other'
}

/** Kills what runs code of this folder in this role. @returns how many there were */
export function killThose(folder: string, role: BaseProcess['role']): number {
  const found = processesOf(folder).filter(process => process.role === role)
  for (const { pid } of found) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended just now.
    }
  }
  return found.length
}

/** Resolves with what still runs code of the folders after `msMax`, and earlier when nothing does. */
export async function leftAfter(folders: readonly string[], msMax: number): Promise<BaseProcess[]> {
  const until = performance.now() + msMax
  for (;;) {
    const left = folders.flatMap(processesOf)
    if (left.length === 0 || performance.now() > until) return left
    await delay(50)
  }
}
