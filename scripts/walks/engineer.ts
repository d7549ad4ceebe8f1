/** An algorithm engineer: makes a module in a repository of their own, brings it online while it grows, meets each kind of fault, and tidies up. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { root } from '../../test/support/base.ts'
import type { Ground, WalkedBase } from './ground.ts'

export const about = 'makes a module in a repository of their own, and brings it online'

export async function walk(at: Ground): Promise<void> {
  const base = await at.try('start a base for development', () => at.start('bin/base.cjs start', ['--mode', 'development']))
  await makeModule(at)
  await makeScene(at)
  await declareSchemas(at)
  await bringOnline(at)
  await develop(at, base)
  await replaceBaseline(at)
  await tidyUp(at)
}

const folderOf = (at: Ground): string => join(at.folder, 'shop')

async function edit(at: Ground, file: string, from: string | RegExp, to: string): Promise<void> {
  const path = join(folderOf(at), file)
  const before = await readFile(path, 'utf8')
  const after = before.replace(from, to)
  assert.notEqual(after, before, `${file} has no ${from}`)
  await writeFile(path, after)
}

async function makeModule(at: Ground): Promise<void> {
  const sdk = at.sdk()
  await at.try('make a module of two stages', () => sdk('init shop --yes --stages rank show', 0, /Now: cd shop && npx sdk test/))
  await at.try('be refused to make it again, or by a wrong name', async () => {
    await sdk('init shop --yes', 1, /Cannot make "shop" in "shop": it is not empty/)
    await sdk('init Shop --yes', 2, /"Shop" is no name for a module[\s\S]*must be lower-case letters/)
  })
  await at.try('test that a stage rejects what its caller got wrong', async () => {
    await edit(
      at,
      'index.ts',
      '  const best =',
      "  if (candidates.length === 0) return ctx.reject('EMPTY', 'There must be a candidate', { least: 1 })\n  const best =",
    )
    const rejection = "{ code: 'REQUEST_REJECTED', reason: 'EMPTY', details: { least: 1 } }"
    const test = `test('an empty list is the mistake of the caller', () => assert.rejects(slot.run('rank', []), ${rejection}))\n`
    await edit(at, 'index.test.ts', /$/, `\n${test}`)
    await at.sdk(folderOf(at))('test', 0, /✔ an empty list is the mistake of the caller/, /5 passed/)
  })
  await at.try('see the line of an endless loop in a test', async () => {
    await edit(at, 'index.ts', '= candidates => candidates', '= candidates => {\n  for (;;) candidates.at(0)\n}')
    await at.sdk(folderOf(at))(
      'test',
      1,
      /4 passed, 1 failed/,
      /a request used more than \d+ ms of CPU, in stage "show"/,
      /> \d+ \| {3}for \(;;\)/,
    )
    await edit(at, 'index.ts', '{\n  for (;;) candidates.at(0)\n}', 'candidates')
  })
}

async function makeScene(at: Ground): Promise<void> {
  const sdk = at.sdk(folderOf(at))
  await at.try('make a scene of what the module is', () => sdk('init --scene home', 0, /rank: shop@\^1\.0\.0[\s\S]*show: shop@\^1\.0\.0/))
  await at.try('be refused a scene whose module is not published', () => sdk('scene apply home.json', 1, /MODULE_NOT_FOUND/, /shop/))
}

async function declareSchemas(at: Ground): Promise<void> {
  const sdk = at.sdk(folderOf(at))
  const item = { type: 'object', required: ['id', 'score'], properties: { id: { type: 'string' }, score: { type: 'number' } } }
  const list = { type: 'array', items: item }
  await at.try('declare what the scene takes and answers, and be told of a misspelt keyword', async () => {
    await edit(at, 'home.json', '"params"', `"schemas": ${JSON.stringify({ request: { ...list, minItem: 1 }, answer: list })},\n  "params"`)
    await sdk('types home.json --out scenes.d.ts', 1, /schemas\.request cannot be used: \/minItem is a keyword that is not supported/)
    await edit(at, 'home.json', '"minItem":1', '"maxItems":100')
  })
  await at.try('have the types written, and checked', async () => {
    await sdk('types home.json --out scenes.d.ts --check', 1, /TYPES_STALE/)
    await sdk('types home.json --out scenes.d.ts', 0, /scenes\.d\.ts: written, 1 scene/)
    await sdk('types home.json --out scenes.d.ts --check', 0, /up to date/)
  })
  await at.try('use the types in the module', async () => {
    await edit(at, 'index.ts', /^/, "import type { Scenes } from './scenes.d.ts'\n")
    await edit(at, 'index.ts', 'Stage<readonly Candidate[], readonly Candidate[]>', "Stage<readonly Candidate[], Scenes['home']['output']>")
    await edit(at, 'index.ts', '= candidates => candidates', '= candidates => candidates.map(({ id }) => ({ id }))')
    await sdk('test', 1, /Property 'score' is missing/)
    await edit(at, 'index.ts', 'candidates.map(({ id }) => ({ id }))', '[...candidates]')
    await sdk('test', 0, /5 passed/)
  })
}

async function bringOnline(at: Ground): Promise<void> {
  const sdk = at.sdk(folderOf(at))
  await at.try('publish and apply', async () => {
    await sdk('publish .', 0, /shop 1\.0\.0[\s\S]*✔ load/)
    await sdk('scene apply home.json', 0, /home: new[\s\S]*v1 made, and it is the baseline/)
  })
  await at.try('be refused to publish other code under the same number', async () => {
    await edit(at, 'index.ts', '[...candidates]', 'candidates.slice()')
    await sdk('publish .', 1, /MODULE_EXISTS|--bump/)
  })
  await at.try('call it', () => sdk('invoke home --file samples/request.json', 0, /200 v1 because baseline/))
  await at.try('see the place in a wrong request, and the code of a rejected one', async () => {
    await sdk(`invoke home --data '[{"id":"a"}]'`, 1, /\/0 must have "score"/, /REQUEST_INVALID/)
    await sdk('invoke home --data []', 1, /There must be a candidate[\s\S]*EMPTY/, /REQUEST_REJECTED/)
  })
}

interface Event {
  readonly event: string
  readonly version?: string
  readonly delta?: unknown
  readonly error?: { readonly code: string; readonly detail: string; readonly frame?: string }
}

async function develop(at: Ground, base: WalkedBase): Promise<void> {
  const child = spawn(process.execPath, [join(root, 'bin/sdk.cjs'), 'dev', '--json'], {
    cwd: folderOf(at),
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const ended = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (matches: (event: Event) => boolean): Promise<Event> => {
    for (;;) {
      const { value, done } = await lines.next()
      assert.ok(done !== true, 'sdk dev has ended')
      const event = JSON.parse(value) as Event
      if (matches(event)) return event
    }
  }
  const answer = () => next(({ event }) => event === 'answer')
  const failure = (code: string) => next(({ error }) => error?.code === code)
  const stage = (body: string) => edit(at, 'index.ts', /(show: [^=]*= )[^\n]*(\n {2}.*\n})?$/m, `$1${body}`)
  try {
    await at.try('have each save answer', async () => {
      await answer()
      await stage('candidates => candidates.map(({ id, score }) => ({ id, score: score * 2 }))')
      assert.deepEqual((await answer()).delta !== null, true)
    })
    await at.try('see what does not compile, and wrong types', async () => {
      await stage('candidates => candidates.map(')
      await failure('COMPILE_FAILED')
      await stage('candidates => candidates.map(({ id }) => ({ id }))')
      await failure('TYPES_WRONG')
    })
    await at.try('see what is silently lost', async () => {
      await stage('candidates => candidates.map(({ id }) => ({ id, score: Number.NaN }))')
      assert.match((await failure('DATA_LOST')).error?.detail ?? '', /stage "show" loses data as JSON: "\/0\/score" is NaN/)
    })
    await at.try('see the line that throws while the module loads', async () => {
      await edit(at, 'index.ts', /$/, 'if (Math.random() < 1) throw new Error("no model")\n')
      assert.match((await failure('MODULE_LOAD_THREW')).error?.detail ?? '', /no model \(index\.ts:\d+:\d+\)/)
      await edit(at, 'index.ts', 'if (Math.random() < 1) throw new Error("no model")\n', '')
    })
    await at.try('find stage, module and line of a loop in the second stage in the log, from the first time on', async () => {
      const seen = base.log.length
      await stage('candidates => {\n  for (;;) candidates.at(0)\n}')
      const { frame, stage: of, module } = await base.logged(({ msg }) => msg === 'slot killed', seen)
      assert.deepEqual([of, /^shop@1\.0\.0-dev\./.test(`${module}`)], ['show', true])
      assert.match(`${frame}`, /> \d+ \| {3}for \(;;\) candidates\.at\(0\)/)
      await at.sdk(folderOf(at))(
        'logs home --level error',
        0,
        /The slot was killed: .*traffic\.cpuMs of scene "home".*in stage "show" of module "shop@/,
        /> \d+ \| {3}for/,
      )
    })
    await at.try('go back to good code', async () => {
      await stage('candidates => candidates.slice(0, 1)')
      await answer()
    })
  } finally {
    child.kill('SIGINT')
    await ended
  }
}

async function replaceBaseline(at: Ground): Promise<void> {
  const sdk = at.sdk(folderOf(at))
  const made = await at.try('publish it for a listed user', () =>
    sdk(
      'publish . --bump minor --scene home --whitelist u1',
      0,
      /shop 1\.1\.0 \(was 1\.0\.0\)[\s\S]*v\d+ made, and it answers 1 listed unit id/,
    ),
  )
  const version = /(v\d+) made/.exec(made.stdout)?.[1] ?? ''
  await at.try('ask for it by name, and as that user', async () => {
    await sdk(`invoke home --file samples/request.json --version ${version}`, 0, new RegExp(`200 ${version} because pin`))
    await sdk('invoke home --file samples/request.json --unit u1', 0, new RegExp(`200 ${version} because whitelist`))
    await sdk('invoke home --file samples/request.json --version v99', 1, /VERSION_NOT_FOUND/)
  })
  await at.try('make it the baseline, once, and go back, once', async () => {
    await sdk(`version promote home ${version}`, 2, /--to/)
    await sdk(`version promote home ${version} --to baseline`, 0, new RegExp(`${version} is the baseline`))
    await sdk(`version promote home ${version} --to baseline`, 0, /already|Nothing/)
    await sdk(`version rollback home ${version}`, 0, /is the baseline again/)
    await sdk(`version rollback home ${version}`, 0, /nothing was changed/)
  })
}

async function tidyUp(at: Ground): Promise<void> {
  const sdk = at.sdk(folderOf(at))
  await at.try('be told who uses what is to be deleted', async () => {
    await sdk('modules delete shop --yes', 1, /MODULE_IN_USE/, /home\/v\d/)
    await sdk('scene delete home --yes', 1, /SCENE_IN_USE/)
  })
  await at.try('take the versions of saves offline, once', async () => {
    await sdk('version offline home --unused', 0)
    await sdk('version offline home --unused', 0, /Nothing to do/)
  })
  await at.try('delete the scene, then the module', async () => {
    await sdk('scene delete home --yes --even-if-called', 0)
    await sdk('modules delete shop --yes', 0)
    await sdk('modules', 0, /^(?![\s\S]*shop)/)
    await sdk('invoke home --file samples/request.json', 1, /SCENE_NOT_FOUND/)
  })
}
