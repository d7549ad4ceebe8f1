/**
 * Runs files of tests again and again, one at a time, to find those that fail now and then: `npm run test:stress -- test/serve.test.ts --busy`.
 * Exits 1 when a run has failed; what it printed is kept in a file.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { messageOf } from '../base/kernel/errors.ts'
import { median } from './bench/median.ts'
import { root, TEST_TIMEOUT_MS, testEnvironment, testFiles, testFlags } from './check/run-files.ts'

const usage = `npm run test:stress -- FILE… [--times N] [--minutes M] [--busy] [--bail]
  FILE…        files, folders or globs
  --times N    rounds, each of which runs every file (10)
  --minutes M  begins no further run after so long (no limit)
  --busy       keeps every processor busy meanwhile
  --bail       ends at the first failure`

/** Of an output that says nowhere what failed. */
const TAIL_CHARS = 2000

interface Settings {
  readonly files: readonly string[]
  readonly times: number
  readonly minutes: number
  readonly busy: boolean
  readonly bail: boolean
}

interface Run {
  readonly failed: boolean
  readonly seconds: number
}

/** @throws Error for what cannot be read */
function readSettings(): Settings {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      times: { type: 'string', default: '10' },
      minutes: { type: 'string', default: 'Infinity' },
      busy: { type: 'boolean', default: false },
      bail: { type: 'boolean', default: false },
    },
  })
  const [times, minutes] = [Number(values.times), Number(values.minutes)]
  if (!(times >= 1) || !(minutes > 0)) throw new Error('--times and --minutes take positive numbers')
  if (positionals.length === 0) throw new Error('Name the files to run')
  return { files: testFiles(positionals), times, minutes, busy: values.busy, bail: values.bail }
}

/** Processes that compute without end, one for each processor. They end when they are stopped, and when this process ends in any way. */
function keepBusy(): () => void {
  // Between slices it hears that its channel has closed.
  const burn = `process.on('disconnect', () => process.exit())
    const burn = () => { const end = performance.now() + 50; while (performance.now() < end); setImmediate(burn) }
    burn()`
  const burners = Array.from({ length: availableParallelism() }, () =>
    spawn(process.execPath, ['-e', burn], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }),
  )
  console.log(`${burners.length} processes keep the processors busy`)
  return () => {
    for (const burner of burners) burner.kill('SIGKILL')
  }
}

/** One run of a file. @param signal ends it, with every process that it has started */
async function runOnce(file: string, signal: AbortSignal): Promise<Run & { readonly output: string }> {
  const begin = performance.now()
  const args = [...process.execArgv, ...testFlags, '--test', `--test-timeout=${TEST_TIMEOUT_MS}`, '--test-reporter=spec', file]
  // In a group of its own, which can be killed as a whole.
  const detached = process.platform !== 'win32'
  const child = spawn(process.execPath, args, { cwd: root, env: testEnvironment, stdio: ['ignore', 'pipe', 'pipe'], detached })
  const kill = () => (detached && child.pid !== undefined ? process.kill(-child.pid, 'SIGKILL') : child.kill('SIGKILL'))
  signal.addEventListener('abort', kill)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const code = await new Promise<number | null>((resolve, reject) => child.once('close', resolve).once('error', reject))
  signal.removeEventListener('abort', kill)
  return { failed: code !== 0, seconds: (performance.now() - begin) / 1000, output }
}

/** Runs every file in turn, round by round, until the times, the minutes, the signal or, with `bail`, the first failure. */
async function stress({ files, times, minutes, bail }: Settings, runs: Map<string, Run[]>, signal: AbortSignal): Promise<void> {
  const end = performance.now() + minutes * 60_000
  let kept: string | undefined
  for (let round = 1; round <= times; round++) {
    for (const file of files) {
      if (performance.now() > end) return
      const { output, ...run } = await runOnce(file, signal)
      if (signal.aborted) return
      runs.set(file, [...(runs.get(file) ?? []), run])
      const name = relative(root, file)
      console.log(`${round}/${times}  ${run.failed ? '✖' : '✔'} ${run.seconds.toFixed(1).padStart(5)} s  ${name}`)
      if (!run.failed) continue
      kept ??= mkdtempSync(join(tmpdir(), 'berth-stress-'))
      const path = join(kept, `${name.replaceAll(/[\\/]/g, '-')}-${round}.txt`)
      writeFileSync(path, output)
      console.log(`${whatFailed(output)}\nAll that it printed is in ${path}`)
      if (bail) return
    }
  }
}

/** The end of an output, from where the runner shows again what failed, if it came to that. */
function whatFailed(output: string): string {
  const at = output.lastIndexOf('failing tests:')
  return output.slice(at === -1 ? -TAIL_CHARS : at).trimEnd()
}

function print(runs: ReadonlyMap<string, readonly Run[]>): void {
  const table = new Table({ head: ['file', 'runs', 'failures', 'median s', 'slowest s'], style: { head: [], border: [] } })
  for (const [file, all] of runs) {
    const seconds = all.map(run => run.seconds)
    const failures = all.filter(({ failed }) => failed).length
    table.push([relative(root, file), all.length, failures, median(seconds).toFixed(1), Math.max(...seconds).toFixed(1)])
  }
  console.log(table.toString())
}

async function main(settings: Settings): Promise<void> {
  const runs = new Map<string, Run[]>()
  const stop = settings.busy ? keepBusy() : () => {}
  const interrupted = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => interrupted.abort())
  await stress(settings, runs, interrupted.signal).finally(stop)
  print(runs)
  if (interrupted.signal.aborted) process.exitCode = 130
  else if ([...runs.values()].flat().some(({ failed }) => failed)) process.exitCode = 1
}

let settings: Settings | undefined
try {
  settings = readSettings()
} catch (error) {
  console.error(`${messageOf(error)}\n\n${usage}`)
  process.exitCode = 2
}
if (settings !== undefined) await main(settings)
