/** What the owner of an experiment does on the command line, from the first version to the rollback. One base of two cells; every test has a scene. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import type { SceneDraft } from '../base/traffic/schema.ts'
import { callScene, launchBase, makeScene, publishStages, type RunningBase, root, tempFolder } from './support/base.ts'
import { type Ended, ended, type Run, sdkIn } from './support/cli.ts'

let base: RunningBase
let folder: string
let sdk: Run

before(async () => {
  ;[base, folder] = await Promise.all([launchBase({ cells: 2 }), tempFolder()])
  sdk = sdkIn(folder, base)
})
after(() => base.kill())

/** A scene whose versions v1 … answer with their own id and with their params; v1 is the baseline. */
async function sceneWith(id: string, versions: number, settings: Omit<SceneDraft, 'id' | 'group'> = {}): Promise<void> {
  const { client } = base
  await makeScene(client, id, { rank: '(_, ctx) => ({ version: ctx.version, params: ctx.params })' }, settings)
  for (let minor = 1; minor < versions; minor++) {
    await publishStages(client, `m-${id}`, `1.${minor}.0`, {
      rank: `(_, ctx) => ({ version: ctx.version, params: ctx.params, minor: ${minor} })`,
    })
    await client.createVersion(id, { modules: [`m-${id}@1.${minor}.0`] })
  }
}

/** Which version answers a unit, and why, such as `v2 experiment`. */
async function answerTo(scene: string, unit: string, body: unknown = {}): Promise<string> {
  const { headers } = await callScene(base, scene, body, { 'x-unit-id': unit })
  return `${headers.get('x-scene-version')} ${headers.get('x-scene-because')}`
}

const paramsOf = async (scene: string, unit: string): Promise<unknown> =>
  ((await (await callScene(base, scene, {}, { 'x-unit-id': unit })).json()) as { params: unknown }).params

/** The first unit whose bucket in the running experiment is in the range. */
async function unitIn(scene: string, [from, to]: readonly [number, number]): Promise<string> {
  for (let i = 1; ; i++) {
    const { steps } = await base.client.explain(scene, { unit: `u${i}` })
    const bucket = steps.find(({ rule }) => rule === 'experiment')?.draws.at(-1)?.bucket ?? -1
    if (from <= bucket && bucket < to) return `u${i}`
  }
}

interface Terminal {
  /** Resolves when all that it showed so far contains the text. */
  shows(text: string): Promise<void>
  type(text: string): void
  readonly ended: Promise<Ended>
}

/** `sdk` on a terminal of its own. */
function sdkOnTerminal(...args: readonly string[]): Terminal {
  const line = [process.execPath, join(root, 'bin/sdk.cjs'), ...args].map(word => `'${word}'`).join(' ')
  const env = { ...process.env, BERTH_BASE: base.controlUrl, BERTH_TOKEN: base.token, TERM: 'xterm' }
  const child = spawn('script', ['-qfec', line, '/dev/null'], { cwd: folder, env })
  let shown = ''
  let changed = Promise.withResolvers<void>()
  child.stdout.on('data', chunk => {
    shown += chunk
    changed.resolve()
    changed = Promise.withResolvers()
  })
  const done = Promise.withResolvers<Ended>()
  child.on('error', done.reject)
  child.on('close', code => done.resolve({ code: code ?? -1, stdout: stripVTControlCharacters(shown).replaceAll('\r', ''), stderr: '' }))
  return {
    shows: async text => {
      while (!shown.includes(text)) {
        const run = await Promise.race([changed.promise, done.promise])
        if (run !== undefined) assert.fail(`It ended without "${text}":\n${shown}`)
      }
    },
    type: text => child.stdin.write(text),
    ended: done.promise,
  }
}

describe('side by side', { concurrency: 3 }, () => {
  test('an experiment is made, started, explained, flipped, reverted and stopped, and every step is live at once', {
    timeout: 120_000,
  }, async () => {
    await sceneWith('story', 2)
    const arms = ['--arm', 'control=v1:50%', '--arm', 'treatment=v2:10%']
    ended(
      await sdk('experiment', 'create', 'story', 'exp-1', ...arms),
      0,
      /exp-1: draft, phase 1, 100% of the units/,
      /sdk experiment start story exp-1/,
    )
    ended(await sdk('experiment', 'create', 'story', 'exp-1', ...arms), 0, /exp-1: draft, .* already: nothing was changed/)
    ended(await sdk('experiment', 'create', 'story', 'exp-1', ...arms, '--segments', '50%'), 1, /EXPERIMENT_EXISTS/)
    const start = ['experiment', 'start', 'story', 'exp-1'] as const
    ended(await sdk(...start), 2, /Cannot ask whether exp-1 may start: there is no terminal\n.*--yes .*--dry-run/, /60% enter/)
    assert.equal((await base.client.experiment('story', 'exp-1')).state, 'draft')
    ended(await sdk(...start, '--yes', '--reason', 'try it'), 0, /60% of all units of the scene move: 60% enter/, /live on 2 of 2 cells/)
    ended(await sdk(...start), 0, /exp-1: running, .* already: nothing was changed/)

    const [enrolled, outside] = await Promise.all([unitIn('story', [5000, 6000]), unitIn('story', [6000, 9000])])
    assert.deepEqual([await answerTo('story', enrolled), await answerTo('story', outside)], ['v2 experiment', 'v1 baseline'])
    ended(
      await sdk('explain', 'story', '--unit', enrolled),
      0,
      /^ {2}✔ experiment +exp-1: bucket 5\d\d\d is in arm "treatment" \(5000–6000\)$/m,
      /^ +unit id → hash \d+ → bucket 5\d\d\d, takes 5000–6000 +\(salt /m,
      /^v2 answers, because of: experiment exp-1, arm "treatment", phase 1, bucket 5\d\d\d\n/m,
    )

    const flipped = ended(await sdk('flip', 'story', 'exp-1', 'treatment=40%', '--yes', '--reason', 'all is well'), 0)
    assert.match(flipped.stdout, /^treatment +v2 +10% +5000–6000 +40% +5000–9000$/m)
    assert.match(flipped.stdout, /^30% of all units of the scene move: 30% enter$/m)
    assert.match(flipped.stdout, /flipped +\d+ ms +exp-1, live on 2 of 2 cells/)
    assert.deepEqual([await answerTo('story', enrolled), await answerTo('story', outside)], ['v2 experiment', 'v2 experiment'])
    const [row] = await base.client.audit(1, 'story')
    assert.deepEqual([row?.action, row?.reason], ['flip experiment', 'all is well'])

    ended(await sdk('flip', 'story', 'exp-1', 'treatment=40%', '--yes'), 0, /Nothing to do: it is so already/)
    const [, back = ''] = /Back again: sdk flip story exp-1 --revert (\d+)/.exec(flipped.stderr) ?? []
    const named = new RegExp(`Name it: sdk flip story exp-1 --revert ${back} --yes \\(revision ${back}, by the first token, \\d+ s ago`)
    ended(await sdk('flip', 'story', 'exp-1', '--revert', '--yes'), 2, /typed twice, the command would undo two/, named)
    const revert = ['flip', 'story', 'exp-1', '--revert', back, '--yes'] as const
    ended(
      await sdk(...revert),
      0,
      /^undoes +the flip of revision \d+, by the first token, \d+ s ago$/m,
      /^treatment +v2 +40% +5000–9000 +10% +5000–6000$/m,
      /30% leave/,
    )
    ended(await sdk(...revert), 0, /Nothing to do: it is so already/)
    assert.deepEqual([await answerTo('story', enrolled), await answerTo('story', outside)], ['v2 experiment', 'v1 baseline'])
    ended(await sdk('version', 'offline', 'story', 'v2'), 1, /used by arm "treatment" of experiment "exp-1"/, /VERSION_IN_USE/)

    const status = ended(await sdk('experiment', 'status', 'story', 'exp-1'), 0).stdout
    assert.match(status, /^arm +is +share +of all units +buckets +exposures\n/m)
    assert.match(status, /^treatment +v2 +10% +10% +5000–6000 +[1-9]\d*$/m)
    ended(await sdk('experiment', 'stop', 'story', 'exp-1'), 0, /60% leave/)
    assert.equal(await answerTo('story', enrolled), 'v1 baseline')
    ended(await sdk('version', 'offline', 'story', 'v2'), 0, /v2 is offline/)
    ended(await sdk('version', 'list', 'story'), 0, /^v1 +baseline/m, /1 more is offline: .*--all/)
    ended(await sdk('version', 'online', 'story', 'v2'), 0, /v2 is online/)
  })

  test('on a terminal a flip asks and takes a reason, and what was shown is what happens or nothing', {
    timeout: 120_000,
    skip: process.platform !== 'linux' && 'it needs the "script" of Linux',
  }, async () => {
    await sceneWith('asked', 2)
    ended(await sdk('experiment', 'create', 'asked', 'exp-1', '--arm', 'treatment=v1:10%', '--segments', '50%'), 0)
    ended(
      await sdk('flip', 'asked', 'exp-1', '--set', 'treatment=v2', '--yes'),
      0,
      /^treatment +v2 /m,
      /No unit of the scene moves: it is not started/,
    )
    ended(await sdk('experiment', 'start', 'asked', 'exp-1', '--yes'), 0)
    const flip = ['flip', 'asked', 'exp-1'] as const
    ended(await sdk(...flip, 'treatment=20%'), 2, /there is no terminal\n.*Add --yes, or --dry-run/)

    const declined = sdkOnTerminal(...flip, 'treatment=20%')
    await declined.shows('Change exp-1?')
    declined.type('n\r')
    ended(await declined.ended, 1, /5% of all units of the scene move: 5% enter/, /Nothing was changed/)

    const [slow, agreed] = [sdkOnTerminal(...flip, 'treatment=30%'), sdkOnTerminal(...flip, 'treatment=20%')]
    await Promise.all([slow.shows('Change exp-1?'), agreed.shows('Change exp-1?')])
    agreed.type('y\r')
    await agreed.shows('Why?')
    agreed.type('ramping\r')
    ended(await agreed.ended, 0, /live on 2 of 2 cells/, /--revert/)
    slow.type('y\r')
    await slow.shows('Why?')
    slow.type('\r')
    ended(await slow.ended, 1, /flip experiment exp-1 \(ramping\)/, /REVISION_CONFLICT: Run the same command again/)
    assert.equal((await base.client.experiment('asked', 'exp-1')).inForce.treatment?.share, 2000)

    const dry = ended(await sdk(...flip, '--set', 'treatment=v1', '--dry-run'), 0, /Nothing was changed/).stdout
    assert.match(dry, /^! Phase 2 of exp-1 begins: .*arm "treatment" means v1 from now on\.\n/, 'a new phase is said before all else')
    const phase = ended(await sdk(...flip, '--set', 'treatment=v1', '--yes'), 0).stdout
    assert.match(phase, /^! Phase 2 of exp-1 begins/)
    ended(await sdk(...flip, '--set', 'treatment=v1', '--yes'), 0, /Nothing to do: it is so already/)
    ended(await sdk(...flip, '--new-phase', '--yes'), 2, /typed twice, the command would begin two\n.*--new-phase 3/)
    const { experiment, moved } = JSON.parse(ended(await sdk(...flip, 'treatment=25%', '--yes', '--json'), 0).stdout)
    assert.deepEqual([experiment.phase, experiment.inForce.treatment.share, moved.moved / moved.of], [2, 2500, 0.025])
  })

  test('a version goes from dev to cutover to baseline, and back at once, and the same command twice is one wish', {
    timeout: 120_000,
  }, async () => {
    await sceneWith('parts', 2)
    const rows = async () => (await base.client.audit(100, 'parts')).length
    ended(await sdk('version', 'rollback', 'parts'), 1, /NOTHING_TO_ROLL_BACK/)
    ended(await sdk('version', 'promote', 'parts', 'v2'), 2, /'--to <part>' not specified/)
    const promote = ['version', 'promote', 'parts', 'v2'] as const
    const whole = [...promote, '--to', 'cutover', '--share', '100%'] as const
    const refused = /Cannot ask whether units of "parts" may move to v2: there is no terminal\n.*--yes .*--dry-run/
    ended(await sdk(...whole), 2, /v2 would take 100% of the units, 100% of the units move/, refused)
    ended(await sdk(...whole, '--dry-run'), 0, /v2 would take 100% of the units/, /Nothing was changed: this was a dry run/)
    assert.equal(await answerTo('parts', 'u1'), 'v1 baseline')
    ended(await sdk(...whole, '--yes'), 0, /v2 takes 100% of the units, 100% of the units move, live on 2 of 2 cells/)
    assert.equal(await answerTo('parts', 'u1'), 'v2 cutover')
    const once = await rows()
    ended(await sdk(...whole), 0, /v2 takes 100% of the units already \(cut over, \d+ s ago, by the first token\)/)
    assert.equal(await rows(), once)
    ended(await sdk('version', 'list', 'parts'), 0, /^v2 +cutover +100% +as v1, but m-parts@1\.1\.0 /m)
    ended(await sdk(...promote, '--to', 'cutover', '--share', '50%'), 0, /v2 takes 50% .*50% of the units move/)
    ended(
      await sdk('version', 'rollback', 'parts'),
      2,
      /from which version .*there is no terminal\n.*Type: sdk version rollback parts v2$/m,
    )
    const back = ['version', 'rollback', 'parts', 'v2', '--reason', 'slow'] as const
    ended(await sdk(...back, '--dry-run'), 0, /the cutover of v2 would be over, 50% of the units move\n+.*Nothing was changed/)
    ended(await sdk(...back), 0, /the cutover of v2 is over, 50% of the units move, live on 2 of 2 cells/)
    assert.equal(await answerTo('parts', 'u1'), 'v1 baseline')
    const done = /v2 is neither the baseline nor in the cutover \(roll back, \d+ s ago, by the first token: "slow"\): nothing was changed/
    ended(await sdk(...back), 0, done)
    ended(await sdk(...promote, '--to', 'baseline', '--yes'), 0, /v2 is the baseline, live on 2 of 2 cells/)
    assert.equal(await answerTo('parts', 'u1'), 'v2 baseline')
    ended(await sdk(...back), 0, /v1 is the baseline again/, /Forth again: sdk version promote parts v2 --to baseline/)
    ended(await sdk(...back), 0, done)
    assert.equal(await answerTo('parts', 'u1'), 'v1 baseline')
    ended(await sdk('version', 'promote', 'parts', 'v9', '--to', 'baseline'), 1, /it has v1, v2|not online/)
  })

  test('on a terminal a promotion and a rollback without a version say what they come to, and ask', {
    timeout: 120_000,
    skip: process.platform !== 'linux' && 'it needs the "script" of Linux',
  }, async () => {
    await sceneWith('agreed', 2)
    const promote = ['version', 'promote', 'agreed', 'v2', '--to', 'baseline'] as const
    for (const [typed, code, kind] of [
      ['n\r', 1, 'dev'],
      ['y\r', 0, 'baseline'],
    ] as const) {
      const asked = sdkOnTerminal(...promote)
      await asked.shows('Make v2 the baseline?')
      asked.type(typed)
      ended(await asked.ended, code, /v2 would be the baseline, 100% of the units move/)
      assert.equal((await base.client.versions('agreed'))[1]?.kind, kind)
    }
    const back = sdkOnTerminal('version', 'rollback', 'agreed')
    await back.shows('Go back from v2 (set baseline, ')
    await back.shows('to v1?')
    back.type('y\r')
    ended(await back.ended, 0, /v1 is the baseline again/)
  })

  test('a whitelist is read line by line, and one bad line changes nothing', { timeout: 120_000 }, async () => {
    await sceneWith('listed', 2)
    await writeFile(join(folder, 'bad.csv'), `u1,v2\n\n用户,v2\n${'x'.repeat(300)},v2\n`)
    const bad = ended(await sdk('whitelist', 'set', 'listed', 'bad.csv'), 1, /WHITELIST_INVALID/)
    assert.match(bad.stderr, /"bad\.csv" as a whitelist: line 2 is empty; line 4 has a unit id of 300 bytes, the limit is 256/)
    assert.equal(await answerTo('listed', 'u1'), 'v1 baseline')

    await writeFile(join(folder, 'good.csv'), 'u1,v2\nu2,v2\n')
    ended(await sdk('whitelist', 'set', 'listed', 'good.csv', '--reason', 'testers'), 0, /2 added, live on 2 of 2 cells/)
    assert.equal(await answerTo('listed', 'u1'), 'v2 whitelist')
    ended(await sdk('whitelist', 'add', 'listed', 'u2,u3', '--version', 'v1'), 0, /1 added, 1 moved from v2/)
    ended(await sdk('whitelist', 'remove', 'listed', 'u1'), 0, /1 removed/)
    assert.equal(ended(await sdk('whitelist', 'show', 'listed', '--units'), 0).stdout, 'u2\tv1\nu3\tv1\n')
    await writeFile(join(folder, 'empty.csv'), '')
    ended(await sdk('whitelist', 'set', 'listed', 'empty.csv'), 1, /it is empty\n.*--allow-empty/)
    ended(await sdk('whitelist', 'set', 'listed', 'empty.csv', '--allow-empty'), 0, /2 removed/)
    ended(await sdk('whitelist', 'add', 'listed', 'u1', '--version', 'v9'), 1, /VERSION_OFFLINE/)
  })

  test('no command takes a file that is not UTF-8: each names the line and the byte, and changes nothing', {
    timeout: 120_000,
  }, async () => {
    await sceneWith('strict', 2)
    ended(await sdk('whitelist', 'add', 'strict', 'u1', '--version', 'v2'), 0)
    const before = await Promise.all([base.client.whitelist('strict'), base.client.params('strict'), base.client.experiments('strict')])
    const latin = (name: string, text: string) => writeFile(join(folder, name), Buffer.from(text, 'latin1'))
    await latin('latin-units.csv', 'u1,v2\nAndr\xe9,v2\n')
    await latin('latin-body.json', '{"user":\n"Andr\xe9"}')
    await latin('latin-log.ndjson', '{"body":1}\n{"body":"Andr\xe9"}\n')
    const commands = [
      ['whitelist', 'set', 'strict', 'latin-units.csv'],
      ['whitelist', 'set', 'strict', 'latin-units.csv', '--version', 'v2'],
      ['scene', 'apply', 'latin-body.json'],
      ['invoke', 'strict', '--file', 'latin-body.json'],
      ['params', 'set', 'strict', '--file', 'latin-body.json'],
      ['experiment', 'create', 'strict', 'exp-1', '--file', 'latin-body.json'],
      ['replay', 'latin-log.ndjson', '--scene', 'strict'],
    ]
    for (const args of commands) {
      const refused = ended(await sdk(...args), 1, /FILE_NOT_TEXT/)
      assert.match(
        refused.stderr,
        /"latin-\w+\.\w+": line 2, byte offset \d+: byte 0xe9 is not UTF-8; it looks like Latin-1/,
        args.join(' '),
      )
      assert.match(refused.stderr, /Save the file as UTF-8/)
    }
    const after = await Promise.all([base.client.whitelist('strict'), base.client.params('strict'), base.client.experiments('strict')])
    assert.deepEqual(after, before)
  })

  test('files may begin with a byte order mark, and a column of quoted unit ids is a whitelist without the quotes', {
    timeout: 120_000,
  }, async () => {
    await sceneWith('marked', 2)
    const marked = (name: string, text: string) => writeFile(join(folder, name), `\ufeff${text}`)
    await marked('marked-quoted.csv', '"u1"\r\n"Lee, Ann"\r\n')
    await marked('marked-columns.csv', 'u1,CN\n')
    await marked('marked-params.json', '{"topK":5}')
    await marked('marked-log.ndjson', '{"unit":"u1","body":{}}\n')
    ended(await sdk('whitelist', 'set', 'marked', 'marked-columns.csv', '--version', 'v2'), 1, /line 1 has several columns/)
    ended(await sdk('whitelist', 'set', 'marked', 'marked-quoted.csv', '--version', 'v2'), 0, /2 added/)
    assert.equal(await base.client.whitelist('marked'), 'u1\tv2\nLee, Ann\tv2\n')
    ended(await sdk('params', 'set', 'marked', '--file', 'marked-params.json'), 0)
    ended(await sdk('invoke', 'marked', '--file', 'marked-params.json'), 0, /"topK": 5/)
    ended(await sdk('replay', 'marked-log.ndjson', '--scene', 'marked'), 0)
  })

  test('parameters are set, compared, listed and rolled back without a new version, and layers come over them', {
    timeout: 120_000,
  }, async () => {
    await sceneWith('tuned', 1, { params: { topK: 3 } })
    ended(
      await sdk('params', 'set', 'tuned', 'topK=5', `mode="fast"`, '--reason', 'room'),
      0,
      /topK: 3 → 5\n +\/mode: \(none\) → "fast"/,
      /2 of 2 cells/,
    )
    assert.deepEqual(await paramsOf('tuned', 'u1'), { topK: 5, mode: 'fast' })
    ended(await sdk('params', 'set', 'tuned', 'topK=5'), 0, /are so already/)
    ended(await sdk('params', 'set', 'tuend', 'topK=5'), 1, /Cannot find scene "tuend": .*; did you mean "tuned"\?/)
    ended(await sdk('params', 'diff', 'tuned'), 0, /^\/topK: 3 → 5$/m)
    ended(await sdk('params', 'history', 'tuned'), 0, /^\d+ .* the scene +\/topK: 3 → 5 +room$/m)
    const before = await base.client.params('tuned')
    ended(await sdk('params', 'set', 'tuned', 'topK=6'), 0)
    const { revision } = await base.client.params('tuned')
    const named = new RegExp(`sdk params rollback tuned ${revision} \\(revision ${revision}, by the first token, \\d+ s ago\\)`)
    ended(await sdk('params', 'rollback', 'tuned'), 2, /which change to undo: there is no terminal/, named)
    const undo = (undone: number, ...args: string[]) => sdk('params', 'rollback', 'tuned', String(undone), ...args)
    ended(await undo(revision), 0, /as after revision \d+, \d+ s ago \("room"\).*\n +\/topK: 6 → 5/)
    ended(await undo(revision), 0, new RegExp(`revision ${revision} is undone already: nothing was changed`))
    assert.deepEqual(await paramsOf('tuned', 'u1'), { topK: 5, mode: 'fast' })
    ended(await undo(before.revision), 0, /as after revision \d+, .* \(as it was defined\).*\n +\/topK: 5 → 3/)
    assert.deepEqual(await paramsOf('tuned', 'u1'), { topK: 3 })
    ended(await sdk('params', 'rollback', 'tuned'), 1, /they are as the scene was defined/)
    ended(await sdk('params', 'rollback', 'tuned', '--to', String(before.revision), '--reason', 'forth'), 0, /\/topK: 3 → 5/)
    ended(await sdk('params', 'history', 'tuned'), 0, new RegExp(` back to ${before.revision}: forth$`, 'm'))
    const defined = (await base.client.paramsHistory('tuned')).at(-1)?.revision
    ended(await sdk('params', 'rollback', 'tuned', '--to', String(defined)), 0, /\/topK: 5 → 3/)
    assert.deepEqual(await paramsOf('tuned', 'u1'), { topK: 3 })
    assert.equal((await base.client.versions('tuned')).length, 1)

    ended(await sdk('layer', 'create', 'tuned', 'ui', '--key', 'topK'), 0, /ui owns topK, live/)
    ended(await sdk('layer', 'create', 'tuned', 'ui', '--key', 'topK'), 0, /ui owns topK already: nothing was changed/)
    ended(await sdk('layer', 'create', 'tuned', 'other', '--key', 'topK'), 1, /layer "ui" owns it/, /LAYER_KEY_TAKEN/)
    const file = { segments: '100%', layer: 'ui', arms: [{ name: 'more', values: { topK: 9 }, share: '100%' }] }
    await writeFile(join(folder, 'exp.json'), JSON.stringify(file))
    ended(await sdk('experiment', 'create', 'tuned', 'exp-1', '--file', 'exp.json'), 0, /layer "ui"/)
    ended(await sdk('experiment', 'start', 'tuned', 'exp-1', '--yes'), 0)
    assert.deepEqual(await paramsOf('tuned', 'u1'), { topK: 9 })
    const overridden = /^! .*experiment "exp-1" of layer "ui" sets "topK" for all units, in its arm more, whatever it is set to here$/m
    ended(await sdk('params', 'set', 'tuned', 'topK=4'), 0, overridden)
    ended(await sdk('params', 'show', 'tuned'), 0, overridden)
    ended(await sdk('layer', 'retire', 'tuned', 'ui'), 1, /its experiments exp-1 run/, /LAYER_IN_USE/)
    ended(await sdk('experiment', 'list', 'tuned'), 0, /^exp-1 +running +1 +layer "ui" +100% +more \{"topK":9\} 100%$/m)
  })

  test('a parameter that no code reads is set with a warning, which names the one that was meant', { timeout: 120_000 }, async () => {
    await makeScene(base.client, 'misnamed', { rank: '(_, { params: { topK = 2, mode } }) => [topK, mode]' })
    const meant = /^! misnamed: none of the modules looked at has "topk" in its code; did you mean "topK"\?$/m
    ended(await sdk('params', 'set', 'misnamed', 'topk=5', 'mode="fast"'), 0, /\/topk: \(none\) → 5/, meant)
    const { stderr } = ended(await sdk('params', 'set', 'misnamed', 'topK=5', '--unset', 'topk'), 0)
    assert.doesNotMatch(stderr, /no module/)
    const { warnings } = await base.client.setParams('misnamed', { params: { colour: 'red' }, version: 'v1' })
    assert.deepEqual(warnings, ['none of the modules looked at has "colour" in its code'])
  })

  test('code is published for two units, then for a share of all, without anybody else noticing', { timeout: 120_000 }, async () => {
    await makeScene(base.client, 'shipped', { rank: '() => 1' })
    const module = { name: 'm-shipped', version: '1.1.0', berth: { stages: ['rank'] } }
    await writeFile(join(folder, 'package.json'), JSON.stringify(module))
    await writeFile(join(folder, 'index.ts'), 'export const rank = () => 2')
    const publish = (...args: string[]) => sdk('publish', '.', '--scene', 'shipped', '--no-check', ...args)
    ended(
      await publish('--whitelist', 'u1,u2', '--label', 'refactor'),
      0,
      /v2 made, and it answers 2 listed unit ids, live on 2 of 2 cells/,
    )
    assert.deepEqual([await answerTo('shipped', 'u1'), await answerTo('shipped', 'u3')], ['v2 whitelist', 'v1 baseline'])
    ended(await publish('--as', 'cutover', '--share', '100%'), 2, /whether units of "shipped" may move: there is no terminal\n.*--yes/)
    assert.equal(await answerTo('shipped', 'u3'), 'v1 baseline')
    ended(
      await publish('--as', 'cutover', '--share', '100%', '--yes'),
      0,
      /v2 was there, and it takes 100% of the units, live on 2 of 2 cells/,
    )
    assert.equal(await answerTo('shipped', 'u3'), 'v2 cutover')
    ended(await publish('--as', 'cutover', '--share', '100%'), 0, /v2 was there, and it takes 100% of the units/)
    ended(await sdk('version', 'list', 'shipped'), 0, /^v2 +cutover +100% .* refactor .* 2 unit ids of the whitelist$/m)
  })
})
