/** `sdk types`, as its user types it, on the example scenes. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'

const cli = join(import.meta.dirname, 'sdk.ts')
const scenes = ['fashion-men', 'fashion-women'].map(name => join(import.meta.dirname, `../../fixtures/scenes/${name}.json`))
const folder = await mkdtemp(join(tmpdir(), 'berth-types-'))
after(() => rm(folder, { recursive: true }))

function types(...args: string[]): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  return new Promise(resolve => {
    // No base is needed for scene files.
    const env = { ...process.env, BERTH_BASE: 'http://127.0.0.1:1' }
    const child = execFile(process.execPath, [cli, 'types', ...args], { env, cwd: folder }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })
}

test('the types of scene files are written once, and --check fails only when they are not those of the scenes', async () => {
  const out = join(folder, 'scenes.d.ts')
  const missing = await types(...scenes, '--out', out, '--check')
  assert.deepEqual([missing.code, /TYPES_STALE/.test(missing.stderr)], [1, true], missing.stderr)
  const written = await types(...scenes, '--out', out)
  assert.deepEqual([written.code, /scenes\.d\.ts: written, 2 scenes/.test(written.stdout)], [0, true], written.stderr)
  const text = await readFile(out, 'utf8')
  assert.match(text, /^\/\/ Made by "sdk types"/)
  assert.match(text, /readonly 'fashion-men': \{ readonly input: FashionMenInput; readonly output: FashionMenOutput \}/)
  assert.match(text, /readonly 'fashion-women': \{ readonly input: unknown; readonly output: unknown \}/)
  assert.match(text, /\/\*\* past clicks by item id \*\/\n {4}readonly affinity\?: Readonly<Record<string, number>>/)
  assert.equal((await types(...scenes.toReversed(), '--out', out, '--check')).code, 0)
})

test('a scene file with a schema that a base would refuse gives no types', async () => {
  const file = join(folder, 'odd.json')
  const group = [{ stage: 'rank', modules: ['m@^1'] }]
  await writeFile(file, JSON.stringify({ id: 'odd', group, schemas: { request: { minimun: 1 } } }))
  const { code, stderr } = await types(file)
  assert.equal(code, 1)
  assert.match(stderr, /odd\.json": schemas\.request cannot be used: \/minimun is a keyword that is not supported[\s\S]*SCENE_INVALID/)
})
