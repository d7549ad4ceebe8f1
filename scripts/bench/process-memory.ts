/** What the memory of a process is made of, as Linux shows it. */
import { readFileSync } from 'node:fs'

/** Megabytes. */
export interface ProcessMemory {
  readonly rss: number
  /** As `rss`, but what is shared with other processes is divided among them. */
  readonly pss: number
  /** Code and data of programs and libraries. */
  readonly programs: number
  /**
   * What was allocated outside of the heaps of V8, with what is free in between: bodies, buffers, and V8's own books. Only what glibc takes at the break and
   * in arenas: large blocks, which it maps one by one, are in `heaps`, and so is all of it with another C library.
   */
  readonly malloc: number
  /** Everything else: heaps and compiled code of all isolates, that of the process and those of slots, stacks of threads, and large blocks. */
  readonly heaps: number
}

const ARENA_BYTES = 64 * 2 ** 20

/** @throws ENOENT when the process has ended */
export function memoryOf(pid: number): ProcessMemory {
  const sums = { rss: 0, pss: 0, programs: 0, malloc: 0, heaps: 0 }
  let kind: 'programs' | 'malloc' | 'heaps' = 'heaps'
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const [, start, access, name] = /^([0-9a-f]+)-[0-9a-f]+ (\S{4}) \S+ \S+ \d+\s*(.*)$/.exec(line) ?? []
    if (start !== undefined) {
      kind = kindOf(Number.parseInt(start, 16), access, name)
      continue
    }
    const [, field, kilobytes] = /^(Rss|Pss):\s+(\d+)/.exec(line) ?? []
    if (field === undefined) continue
    const megabytes = Number(kilobytes) / 1024
    sums[field === 'Rss' ? 'rss' : 'pss'] += megabytes
    if (field === 'Rss') sums[kind] += megabytes
  }
  return sums
}

/** glibc takes memory at the break of the process, and for threads in arenas at multiples of their size. Blocks over `M_MMAP_THRESHOLD` look like heaps. */
function kindOf(start: number, access: string | undefined, name: string | undefined): 'programs' | 'malloc' | 'heaps' {
  if (name?.startsWith('/')) return 'programs'
  return name === '[heap]' || (name === '' && access === 'rw-p' && start % ARENA_BYTES === 0) ? 'malloc' : 'heaps'
}
