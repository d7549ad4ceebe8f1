/** The owner of an experiment: versions, experiments, parameters and units of a scene, on a base that serves. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Expect, Ground } from './ground.ts'

export const about = 'decides who gets which version of a scene that serves, and types every command twice'

const code = (version: number) => `
export const rank = async (_: unknown, ctx: { params: { topK?: number } }) => ({ version: ${version}, topK: ctx.params.topK })`

const there = /already.*: nothing was changed/
const noTerminal = /there is no terminal\n/

export async function walk(at: Ground): Promise<void> {
  const base = await at.try('have a base that serves', () => at.start('bin/base.cjs start'))
  const sdk = at.sdk()
  await at.try('publish three versions, of which only the first answers unasked', () => publishVersions(at, sdk))
  await at.try('make an experiment and a layer, twice each', () => make(sdk))
  await at.try('start the experiment, once it is agreed to', () => start(sdk))
  await at.try('flip it, go back, drop an arm, begin a phase', () => flip(sdk))
  await at.try('promote a version to a share and to everybody, and roll it back', () => promote(sdk))
  await at.try('set a parameter that a layer overrides, and undo that', () => setParams(sdk))
  await at.try('send testers to a version by a file, and ask why somebody gets what', () => listUnits(at, sdk, base.url))
  await at.try('end all of it, and delete what is not needed', () => end(sdk))
}

/** Checks that a command is refused without a terminal, with the words that say what to type; then that it is done, and done already. */
async function agreed(sdk: Expect, command: string, hint: RegExp, done: RegExp, doneAlready: RegExp): Promise<void> {
  await sdk(command, 2, noTerminal, hint)
  await sdk(`${command} --yes`, 0, done)
  await sdk(`${command} --yes`, 0, doneAlready)
}

async function publishVersions(at: Ground, sdk: Expect): Promise<void> {
  const folder = join(at.folder, 'ranker')
  const write = (version: number) => writeFile(join(folder, 'index.ts'), code(version))
  await mkdir(folder)
  await writeFile(
    join(folder, 'package.json'),
    JSON.stringify({ name: 'ranker', version: '1.0.0', type: 'module', berth: { stages: ['rank'] } }),
  )
  await writeFile(
    join(at.folder, 'shop.json'),
    JSON.stringify({ id: 'shop', group: [{ stage: 'rank', modules: ['ranker@^1'] }], params: { topK: 3 } }),
  )
  await write(1)
  await sdk('publish ranker --scene shop', 1, /SCENE_NOT_FOUND/, /publish ranker && npx @berth\/sdk scene apply shop\.json/)
  await sdk('publish ranker', 0, /tried and kept/)
  await sdk('scene apply shop.json', 0, /v1 made, and it is the baseline/)
  for (const version of [2, 3]) {
    await write(version)
    await sdk('publish ranker --bump minor --scene shop', 0, new RegExp(`v${version} made; it answers requests that pin it`))
  }
  await sdk('publish ranker --bump minor --scene shop', 0, /not raised: nothing has changed/, /v3/)
  await sdk('publish ranker --scene shop --as baseline', 2, /v3 would be the baseline, 100% of the units move/, noTerminal)
  await sdk('invoke shop --data {}', 0, /"version": 1/, /200 v1 because baseline/)
}

async function make(sdk: Expect): Promise<void> {
  const create = 'experiment create shop exp-1 --arm control=v1:10% --arm treatment=v2:10% --segments 50%'
  await sdk(create, 0, /exp-1: draft, phase 1, 50% of the units/, /sdk experiment start shop exp-1/)
  await sdk(create, 0, there)
  await sdk('experiment create shop exp-1 --arm control=v1:10%', 1, /EXPERIMENT_EXISTS/)
  await sdk('experiment create shop exp-9 --arm control=v9:10%', 1, /v9/)
  await sdk('experiment create shop exp-9 --arm control=v1', 2, /control=v1/)
  await sdk('layer create shop ui --key topK', 0, /ui owns topK, live/)
  await sdk('layer create shop ui --key topK', 0, there)
  await sdk('layer create shop ui --key other', 1, /the scene has one of that id, which owns topK/)
}

async function start(sdk: Expect): Promise<void> {
  const command = 'experiment start shop exp-1'
  await sdk(`${command} --dry-run`, 0, /10% of all units of the scene move: 10% enter/, /this was a dry run/)
  await agreed(sdk, command, /Add --yes to the command/, /exp-1: running/, there)
  await sdk('experiment status shop exp-1', 0, /^treatment +v2 +10% +5% +1000–2000/m)
}

async function flip(sdk: Expect): Promise<void> {
  const same = /Nothing to do: it is so already/
  const command = 'flip shop exp-1 treatment=20%'
  await sdk(command, 2, noTerminal, /Add --yes, or --dry-run/)
  const { stderr } = await sdk(`${command} --yes`, 0, /5% of all units of the scene move: 5% enter/)
  await sdk(`${command} --yes`, 0, same)
  const revision = /--revert (\d+)/.exec(stderr)?.[1] ?? ''
  const named = new RegExp(
    `Name it: npx @berth/sdk flip shop exp-1 --revert ${revision} --yes \\(revision ${revision}, by the first token, `,
  )
  await sdk('flip shop exp-1 --revert', 2, noTerminal, named)
  await sdk('flip shop exp-1 --revert --yes', 2, /typed twice, the command would undo two/, named)
  await sdk(`flip shop exp-1 --revert ${revision} --yes`, 0, /undoes +the flip of revision \d+, by the first token, /, /5% leave/)
  await sdk(`flip shop exp-1 --revert ${revision} --yes`, 0, same)
  const dropped = await sdk('flip shop exp-1 --drop treatment --yes', 0, /treatment +\(dropped\)/)
  await sdk('flip shop exp-1 --drop treatment --yes', 0, same)
  await sdk('flip shop exp-1 --drop treatmnet --yes', 1, /no arm "treatmnet"/)
  const drop = /--revert (\d+)/.exec(dropped.stderr)?.[1] ?? ''
  await sdk(`flip shop exp-1 --revert ${drop} --yes`, 0, /treatment +v2/)
  await sdk('flip shop exp-1 --new-phase --yes', 2, /typed twice, the command would begin two\n.*--new-phase 2/)
  await sdk('flip shop exp-1 --new-phase 2 --yes', 0, /Phase 2 of exp-1 begins/)
  await sdk('flip shop exp-1 --new-phase 2 --yes', 0, same)
  await sdk('flip shop exp-1 treatment=95%', 2, noTerminal)
  await sdk('flip shop exp-1 treatment=95% --yes', 1, /its arms would have 105% together/)
}

async function promote(sdk: Expect): Promise<void> {
  await sdk('version promote shop v3', 2, /'--to <part>' not specified/)
  await sdk('version promote shop v9 --to baseline --yes', 1, /it has v1, v2, v3/)
  await agreed(
    sdk,
    'version promote shop v3 --to cutover --share 5%',
    /Add --yes to the command/,
    /v3 takes 5% of the units, 4\.5% of the units move/,
    there,
  )
  await sdk('version promote shop v2 --to cutover --yes', 1, /version "v3" has the cutover, at 5%/)
  await sdk('version rollback shop', 2, noTerminal, /Type: npx @berth\/sdk version rollback shop v3$/m)
  await sdk('version rollback shop v3', 0, /the cutover of v3 is over/)
  await sdk(
    'version rollback shop v3',
    0,
    /v3 is neither the baseline nor in the cutover \(roll back, .* by the first token\): nothing was changed/,
  )
  await agreed(sdk, 'version promote shop v3 --to baseline', /Add --yes to the command/, /v3 is the baseline, live on/, there)
  await sdk(
    'version rollback shop v3 --reason "too slow"',
    0,
    /v1 is the baseline again/,
    /Forth again: npx @berth\/sdk version promote shop v3/,
  )
  await sdk('version rollback shop v3', 0, /by the first token: "too slow"\): nothing was changed/)
  await sdk('invoke shop --data {}', 0, /200 v1 because baseline/)
}

async function setParams(sdk: Expect): Promise<void> {
  await sdk(`experiment create shop exp-2 --layer ui --arm a='{"topK":5}':50% --arm b='{"topK":9}':50%`, 2, /a=/)
  await sdk(`experiment create shop exp-2 --layer ui --arm 'a={"topK":5}:50%' --arm 'b={"topK":9}:50%'`, 0, /exp-2: draft/)
  await sdk('experiment start shop exp-2 --yes', 0, /100% of all units of layer "ui" move/)
  const overridden = /experiment "exp-2" of layer "ui" sets "topK" for all units, in its arms a, b, whatever it is set to here/
  const { stderr } = await sdk('params set shop topK=7', 0, /\/topK: 3 → 7/, overridden)
  await sdk('params set shop topK=7', 0, /are so already/)
  await sdk('params show shop', 0, overridden)
  const revision = /rollback shop (\d+)/.exec(stderr)?.[1] ?? ''
  await sdk(
    'params rollback shop',
    2,
    noTerminal,
    new RegExp(`sdk params rollback shop ${revision} \\(revision ${revision}, by the first token, `),
  )
  await sdk(`params rollback shop ${revision}`, 0, /\/topK: 7 → 3/)
  await sdk(`params rollback shop ${revision}`, 0, /is undone already: nothing was changed/)
}

async function listUnits(at: Ground, sdk: Expect, url: string): Promise<void> {
  await writeFile(join(at.folder, 'wrong.csv'), 'u1,v3\nu2\n')
  await writeFile(join(at.folder, 'testers.csv'), 'unit,version\nu1,v3\n"Lee, Ann",v3\n用户42,v2\n')
  await sdk('whitelist set shop wrong.csv', 1, /"wrong\.csv" as a whitelist: line 2 names no version/)
  await sdk('whitelist set shop testers.csv', 0, /3 added/)
  await sdk('whitelist set shop testers.csv', 0, /nothing changed/)
  await sdk('explain shop --unit 用户42', 0, /the unit is on it: v2 answers/, /in layer "ui": experiment exp-2, arm "[ab]"/)
  await sdk('explain shop --unit u7', 0, /whitelist +the unit is not on it/, /exp-1: bucket \d+ is in /, /^v\d answers, because of: /m)
  const headers = { 'content-type': 'application/json', 'x-unit-id': "UTF-8''Lee%2C%20Ann" }
  const response = await fetch(`${url}/scenes/shop`, { method: 'POST', headers, body: '{}' })
  assert.deepEqual([response.headers.get('x-scene-version'), response.headers.get('x-scene-because')], ['v3', 'whitelist'])
  await sdk('version list shop', 0, /^v1 +baseline .* the first token /m, /^v3 +dev .* 2 unit ids of the whitelist/m)
}

async function end(sdk: Expect): Promise<void> {
  await sdk('layer retire shop ui', 1, /its experiments exp-2 run/)
  await sdk('experiment delete shop exp-1 --yes', 1, /EXPERIMENT_RUNS/)
  for (const id of ['exp-1', 'exp-2']) {
    await sdk(`experiment stop shop ${id}`, 0, /leave/)
    await sdk(`experiment stop shop ${id}`, 0, there)
  }
  await sdk('version delete shop v2 --yes', 1, /VERSION_IN_USE/, /1 unit id of the whitelist/, /experiment "exp-1", which is stopped/)
  await agreed(sdk, 'experiment delete shop exp-1', /Add --yes, or --dry-run to see what would go/, /deleted/, /is gone already/)
  await sdk('layer retire shop ui', 0, /other layers may own its parameters/)
  await sdk('layer retire shop ui', 0, there)
  await agreed(sdk, 'layer delete shop ui', /Add --yes, or --dry-run to see what would go/, /deleted/, /is gone already/)
  await sdk('whitelist remove shop 用户42', 0, /1 removed/)
  await sdk('version offline shop --unused --dry-run', 0, /v2 would go offline/)
  await sdk('version offline shop --unused', 0, /v2 is offline/)
  await agreed(sdk, 'version delete shop v2', /Add --yes/, /deleted/, /Nothing to do/)
  await sdk('scene delete shop --yes', 1, /SCENE_IN_USE/, /--even-if-called/)
}
