import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { renderStatus } from './cli.ts'
import { optionRows } from './kernel/options.ts'

const entry = fileURLToPath(new URL('main.ts', import.meta.url))

interface Outcome {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** Runs the command line in an empty working directory. */
function base(t: TestContext, ...args: string[]): Outcome {
  const cwd = mkdtempSync(join(tmpdir(), 'berth-cli-'))
  t.after(() => rmSync(cwd, { recursive: true }))
  const flags = ['--no-node-snapshot', '--disable-warning=ExperimentalWarning']
  const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, entry, ...args], { cwd, encoding: 'utf8', env: {} })
  return { code: status, out: stdout, err: stderr }
}

test('the help of start names every option, its variable and its default', t => {
  const { code, out } = base(t, 'start', '--help')
  assert.equal(code, 0)
  // The help wraps its lines.
  const words = out.replace(/\s+/g, ' ')
  for (const row of optionRows)
    assert.ok(words.includes(`${row.flag} <value> ${row.description} (default: ${row.default}; ${row.variable})`), row.flag)
})

test('a mistake in the usage exits 2 and says what to do', t => {
  assert.deepEqual(base(t, 'start', '--prot', '1'), { code: 2, out: '', err: "berth: unknown option '--prot'\n(Did you mean --port?)\n" })
  const err =
    'berth: Cannot use --cells "many": must be an integer from 1 to 64\nwhat to do: Give a value as the message says. (OPTION_INVALID)\n'
  assert.deepEqual(base(t, 'start', '--cells', 'many'), { code: 2, out: '', err })
  assert.equal(base(t, 'halt').code, 2)
  assert.equal(base(t).code, 2)
})

test('a flag reaches its option also where the option has capitals in a row', t => {
  const { code, err } = base(t, 'start', '--cell-memory-mb', '1')
  assert.equal(code, 2)
  assert.match(err, /Cannot use --cell-memory-mb 1: must be an integer from 64 /)
})

test('a start that fails exits 1 with the failure and what to do', t => {
  const { code, out, err } = base(t, 'start', '--data', '/dev/null/berth')
  assert.deepEqual({ code, out }, { code: 1, out: '' })
  assert.match(
    err,
    /^berth: Cannot write to the data folder "\/dev\/null\/berth": .*\nwhat to do: Give the user of the base the right to write there/,
  )
})

test('the status of a base that does not run exits 1 and names where it was looked for', t => {
  const data = mkdtempSync(join(tmpdir(), 'berth-cli-data-'))
  t.after(() => rmSync(data, { recursive: true }))
  const where = /^berth: Cannot find a base\. It was looked for in this order:\n[\s\S]*--data, .*: no base runs on it\nwhat to do: Start it/
  assert.match(base(t, 'status', '--data', data).err, where)
  writeFileSync(join(data, 'token'), 'secret')
  const { code, err } = base(t, 'status', '--data', data, '--control-port', '1')
  assert.equal(code, 1)
  assert.match(err, /^berth: Cannot reach a base at http:\/\/127\.0\.0\.1:1: .*\nwhat to do: Start it with "base start"/)
  assert.ok(!err.includes('secret'))
})

test('the backup of a folder without a base exits 1', t => {
  const { code, err } = base(t, 'backup', 'copy')
  assert.equal(code, 1)
  assert.match(err, /^berth: Cannot back up /)
})

test('the status shows what is wrong before what serves and what it costs, and leaves out what is not there', () => {
  const text = renderStatus({
    ...{ storageFault: null, disk: { freeMB: 7, storeMB: 1 }, wall: [{ layer: 'namespaces' }], memory: null },
    ...{
      features: [{ name: 'items', version: 'ab'.repeat(32) }],
      cells: [{ cell: 1 }],
      troubles: [{ process: 'cell 1' }],
      later: [{ a: 1 }],
    },
    port: 8080,
  })
  const heads = text.split('\n\n').map(section => section.split('\n')[0])
  const expected = [/^port +8080$/, /^troubles$/, /^cells$/, /^features$/, /^disk freeMB +7$/, /^wall$/, /^later$/]
  assert.equal(heads.length, expected.length, text)
  for (const [i, pattern] of expected.entries()) assert.match(heads[i] ?? '', pattern)
  assert.match(text, /^items +abababababab$/m)
})

test('the status shows plain members, and each list as a table with all its columns', () => {
  const text = renderStatus({
    port: 8080,
    keeper: { pid: 7 },
    cells: [
      { cell: 1, state: 'ready' },
      { cell: 2, state: 'starting', crashes: 3 },
    ],
    scenes: [],
  })
  assert.match(text, /^port +8080$/m)
  assert.match(text, /^keeper pid +7$/m)
  assert.match(text, /\ncells\n/)
  assert.match(text, /^cell +state +crashes$/m)
  assert.match(text, /^1 +ready +–$/m)
  assert.ok(!text.includes('scenes'))
})
