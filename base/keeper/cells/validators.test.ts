import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Answered } from '../../capsule/answered.ts'
import { roleCommand } from '../../process/roles.ts'
import { Blobs } from '../../store/blobs.ts'
import { temporaryFolder } from '../../store/fixtures/folder.ts'
import type { SlotPlan } from '../../traffic/table.ts'
import { record } from '../../trial/fixtures/recording.ts'
import type { SentContender, SentRecording } from '../../wire/validator-messages.ts'
import { type ReplayedRecording, Validators } from './validators.ts'

const pure = 'async (n, ctx) => { await new Promise(done => setTimeout(done, 3)); return [n, Math.random(), Date.now()] }'
const module = { name: 'm', version: '1.0.0', bundle: 'bundle' }
const plan: SlotPlan = { key: 's/v1', scene: 's', version: 'v1', memoryMB: 64, lock: [{ stage: 'run', modules: [module] }] }

const UNLOADABLE = 'b'.repeat(16)

interface Made {
  readonly validators: Validators
  readonly recording: SentRecording
  /** The version whose one module has this code. */
  readonly contender: (code: string) => Promise<SentContender>
}

async function make(t: TestContext): Promise<Made> {
  const data = temporaryFolder(t)
  const blobs = new Blobs(data)
  const planOf = async (code: string) => {
    const bundle = await blobs.put(Buffer.from(`({ run: ${code} })`))
    return { ...plan, lock: [{ stage: 'run', modules: [{ ...module, bundle }] }] }
  }
  const readBundle = async () => `({ run: ${pure} })`
  const recording = await record({ plan: await planOf(pure), bodies: ['1', '2', '3', '4'], host: { readBundle } })
  const find = (id: string) => (recording.capsules.some(capsule => capsule.id === id) ? { recording: recording.head.id } : undefined)
  const lock = [{ stage: 'run', modules: [{ ...module, bundle: '0'.repeat(64) }] }]
  const unloadable = { ...recording, head: { ...recording.head, id: UNLOADABLE, lock } }
  const recordings = { find, readRecording: async (id: string) => (id === UNLOADABLE ? unloadable : recording), bytesOf: () => 1000 }
  const validators = new Validators(roleCommand('validator', data), { data, recordings, tables: () => [] })
  t.after(() => validators.close())
  return { validators, recording, contender: async code => ({ plan: await planOf(code), cpuMs: 100, chance: 'recorded' }) }
}

const never = new AbortController().signal
const textOf = ({ answer }: Answered): string => ('json' in answer ? answer.json : answer.failure.code)

test('capsules are answered in another process by each contender, and a version that has not changed gives the recorded answers', async t => {
  const { validators, recording, contender } = await make(t)
  const contenders = [await contender(pure), await contender(pure.replace('[n,', '[n + 1,'))]
  const taken: (readonly Answered[])[] = []
  const capsules = [...recording.capsules.map(({ id }) => id), 'gone']
  await validators.answer({ scene: 's', capsules, contenders, freshness: 'fresh', measuresHeap: false }, one => taken.push(one), never)
  assert.deepEqual(
    taken.map(([same]) => same?.answer),
    recording.capsules.map(({ answer }) => ('json' in answer ? { json: answer.json } : answer)),
  )
  assert.deepEqual(
    taken.map(([, other]) => JSON.parse(textOf(other as Answered))[0]),
    [2, 3, 4, 5],
  )
})

test('a contender that ends its process has that answer counted as killed, and the rest is answered all the same', async t => {
  const { validators, recording, contender } = await make(t)
  // Code within this built-in function cannot be stopped.
  const stuck = 'async n => { if (n === 2) Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1); return n }'
  const taken: (readonly Answered[])[] = []
  const job = { scene: 's', capsules: recording.capsules.map(({ id }) => id), freshness: 'shared', measuresHeap: false } as const
  await validators.answer({ ...job, contenders: [await contender('async n => n'), await contender(stuck)] }, one => taken.push(one), never)
  assert.deepEqual(
    taken.map(answers => answers.map(textOf).join()),
    ['1,1', '2,MODULE_KILLED', '3,3', '4,4'],
  )
  assert.ok(taken[1]?.[1]?.killed)
})

test('a recording says the same bytes in a process that has never seen it, also after one that cannot be loaded', async t => {
  const { validators, recording } = await make(t)
  const taken: ReplayedRecording[] = []
  await validators.replay('s', [UNLOADABLE, recording.head.id], one => taken.push(one))
  assert.deepEqual(
    taken.slice(1).map(({ replayed }) => replayed),
    [{ same: recording.entries.length, inexact: [] }],
  )
  assert.match(taken[0]?.replayed.difference?.what ?? '', /^it cannot be replayed: .*0{64}/)
})
