import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Answered, Answering, AnsweringJob, Contender } from '../../capsule/answered.ts'
import { BerthError } from '../../kernel/errors.ts'
import { limits } from '../../kernel/limits.ts'
import type { Params } from '../../traffic/schema.ts'
import { ada, definition, startDriver } from '../fixtures/driver.ts'

type Module = (request: number, params: Params) => unknown

/** Answers with functions in the place of modules, which are found by the version of `rank` in the lock. */
class FakeAnswering implements Answering {
  readonly modules: Record<string, Module> = { '1.0.0': request => ({ total: request }) }
  /** The slots that were opened: with which version, and how. */
  readonly jobs: AnsweringJob[] = []

  /** Called before anything is answered. */
  before: (signal: AbortSignal) => void = () => undefined

  async answer(job: AnsweringJob, take: (answers: readonly Answered[]) => void, signal: AbortSignal): Promise<void> {
    this.jobs.push(job)
    this.before(signal)
    for (const capsule of job.capsules) {
      if (!signal.aborted) take(job.contenders.map(contender => this.#answer(capsule, contender)))
    }
  }

  #answer(capsule: string, { plan, sceneParams, versionParams }: Contender): Answered {
    const version = plan.lock[0]?.modules[0]?.version ?? ''
    const figures = { capsule, hosts: [], newCalls: [], cpuMs: 1, tookMs: 1, waitedMs: 0, stageMs: [1], logs: [], killed: false }
    try {
      return {
        ...figures,
        answer: { json: JSON.stringify(this.modules[version]?.(Number(capsule), { ...sceneParams, ...versionParams })) },
      }
    } catch (error) {
      return { ...figures, answer: { failure: { code: 'MODULE_THREW', message: String(error) } } }
    }
  }
}

/** A scene with the baseline v1, which has answered a hundred captured requests. */
async function startValidated(t: TestContext, mode: 'strict' | 'report' | 'off' = 'strict') {
  const answering = new FakeAnswering()
  const captured = { count: 100 }
  const newest = (_: string, version: string, count: number) =>
    version === 'v1' ? Array.from({ length: Math.min(count, captured.count) }, (_, index) => ({ id: String(index), inexact: [] })) : []
  const base = await startDriver(t, undefined, undefined, { capsules: { newest }, answering })
  const { validation } = strict
  await base.change('define scene', { definition: { ...definition({ topK: 1 }), validation: { ...validation, mode } } })
  await base.addVersion({ as: 'baseline' })
  const publish = async (version: string, module: Module) => {
    answering.modules[version] = module
    base.publish('rank', version)
    return base.addVersion({ modules: [`rank@${version}`] })
  }
  const promote = (
    version: string,
    more: { validation?: 'strict' | 'report' | 'off'; to?: 'cutover'; share?: number; dryRun?: boolean } = {},
  ) => {
    const { dryRun, ...payload } = more
    return base.driver.apply(
      { kind: 'promote version', scene: 'home', payload: { version, to: 'baseline', ...payload } },
      { actor: ada, dryRun },
    )
  }
  const baseline = () => base.book.scenes.get('home').baseline
  return { ...base, answering, captured, publish, promote, baseline }
}

const strict = {
  validation: { thresholds: { errors: 0, cpu: 1.5, latency: 1.5, heapKB: 64, newHosts: false, differing: 0 }, fields: {} },
} as const

test('a version that answers captured requests otherwise gets no traffic where validation is strict', async t => {
  const { publish, promote, baseline } = await startValidated(t)
  const wrong = await publish('1.1.0', request => ({ total: request === 7 ? 0 : request }))
  await assert.rejects(promote(wrong), (error: { code?: string; message: string; extra?: { validation?: { differing: number } } }) => {
    assert.equal(error.code, 'VALIDATION_FAILED')
    assert.equal(error.message, 'Cannot give traffic to v2 in scene "home": v2 answers 1 of 100 requests (1%) otherwise')
    assert.equal(error.extra?.validation?.differing, 1)
    return true
  })
  assert.equal(baseline(), 'v1')
})

test('a version that answers the same is promoted, with a report of it', async t => {
  const { publish, promote, baseline } = await startValidated(t)
  const same = await publish('1.1.0', request => ({ total: request }))
  const { validation } = await promote(same)
  assert.equal(validation?.verdict, 'passed')
  assert.equal(validation.comparable, 100)
  assert.equal(baseline(), same)
})

test('a failed validation is shown and the change made where the scene, or the change itself, asks for a report only', async t => {
  const reported = await startValidated(t, 'report')
  const { validation } = await reported.promote(await reported.publish('1.1.0', () => ({})))
  assert.equal(validation?.verdict, 'failed')
  assert.equal(reported.baseline(), 'v2')
  const strictly = await startValidated(t)
  await strictly.promote(await strictly.publish('1.1.0', () => ({})), { validation: 'report' })
  assert.equal(strictly.baseline(), 'v2')
  const [row] = strictly.book.history('home')
  assert.equal(row?.kind === 'promote version' && row.payload.validation, 'report')
})

test('nothing is answered where validation is off', async t => {
  const { publish, promote, answering } = await startValidated(t, 'off')
  assert.equal((await promote(await publish('1.1.0', () => ({})))).validation, undefined)
  assert.deepEqual(answering.jobs, [])
})

test('a dry run is validated when it says how, and refuses nothing', async t => {
  const { publish, promote, baseline } = await startValidated(t)
  const wrong = await publish('1.1.0', () => ({}))
  assert.equal((await promote(wrong, { dryRun: true })).validation, undefined)
  assert.equal((await promote(wrong, { dryRun: true, validation: 'strict' })).validation?.verdict, 'failed')
  assert.equal(baseline(), 'v1')
})

test('a change that is being validated is given up when whoever asked has gone, and when the keeper stops', async t => {
  const { answering, publish, driver, baseline } = await startValidated(t, 'report')
  const version = await publish('1.1.0', request => ({ total: request }))
  const gone = new AbortController()
  const promote = () =>
    driver.apply({ kind: 'promote version', scene: 'home', payload: { version, to: 'baseline' } }, { actor: ada, gone: () => gone.signal })
  answering.before = () => {
    throw new BerthError('BASE_DRAINING', 'the keeper is stopping')
  }
  await assert.rejects(promote(), { code: 'BASE_DRAINING' })
  answering.before = signal => {
    gone.abort()
    assert.ok(signal.aborted)
  }
  await assert.rejects(promote(), {
    code: 'VALIDATION_FAILED',
    message: /the connection of whoever asked has closed, so nothing was changed/,
  })
  assert.equal(baseline(), 'v1')
})

test('answers that would not fit in memory end the validation', async t => {
  const { publish, promote } = await startValidated(t, 'report')
  const large = 'x'.repeat(limits.capsule.answeredBytesMax / 50)
  const { validation } = await promote(await publish('1.1.0', () => large))
  assert.deepEqual([validation?.ended, validation?.answered], ['size', 49])
})

test('the way back, another share of a cutover and a version without traffic are never held up by validation', async t => {
  const { publish, promote, change, baseline } = await startValidated(t)
  const wrong = await publish('1.1.0', () => ({}))
  await promote(wrong, { to: 'cutover', share: 5000, validation: 'off' })
  await promote(wrong, { to: 'cutover', share: 100 })
  await promote(wrong, { validation: 'off' })
  await promote('v1')
  assert.equal(baseline(), 'v1')
  await change('roll back', { from: 'v1' })
  assert.equal(baseline(), wrong)
})

test('a scene without capsules says that there is no data, and goes on', async t => {
  const { captured, publish, promote, baseline } = await startValidated(t)
  captured.count = 0
  const other = await publish('1.1.0', () => 'else')
  const { validation } = await promote(other)
  assert.equal(validation?.verdict, 'no data')
  assert.equal(baseline(), other)
})

test('while nothing is captured of the baseline and of the one before, they answer what the newest other version was asked', async t => {
  const { publish, promote, baseline } = await startValidated(t)
  for (const version of ['1.1.0', '1.2.0']) await promote(await publish(version, request => ({ total: request })))
  assert.equal(baseline(), 'v3')
  await assert.rejects(promote(await publish('1.3.0', () => 'else')), { code: 'VALIDATION_FAILED' })
})

test('params answer captured requests with the version that gets them, and what they change is shown, not refused', async t => {
  const { publish, promote, driver, book } = await startValidated(t)
  const module: Module = (request, { topK }) => {
    if (topK === 0) throw new RangeError('topK is 0')
    return { total: request, topK }
  }
  const version = await publish('1.1.0', module)
  await promote(version, { validation: 'off' })
  const set = (params: Params) => driver.apply({ kind: 'set params', scene: 'home', payload: { version: null, params } }, { actor: ada })
  const { validation } = await set({ topK: 5 })
  assert.equal(validation?.verdict, 'passed')
  assert.deepEqual(
    validation.fields.map(({ path, requests, counts }) => [path, requests, counts]),
    [['/topK', 100, true]],
  )
  await assert.rejects(set({ topK: 0 }), { code: 'VALIDATION_FAILED', message: /it fails 100 of 100 requests \(100%\) that v2 answers/ })
  assert.deepEqual(book.scenes.get('home').definition.params, { topK: 5 })
})

test('values of answers and messages of errors are in reports only for those who may read capsules, and the audit log says who did', async t => {
  const { publish, driver, book } = await startValidated(t, 'report')
  const version = await publish('1.1.0', request => {
    if (request % 20 === 7) throw new Error(`secret ${request}`)
    return { total: 'secret' }
  })
  const change = { kind: 'promote version', scene: 'home', payload: { version, to: 'cutover', validation: 'report' } } as const
  const actor = { ...ada, keyed: { key: 'k', digest: 'd' } }
  const reportFor = async (seesCapsules: boolean) => (await driver.apply(change, { actor, dryRun: true, seesCapsules })).validation
  const rows = () => book.audit(1, undefined, 'home').map(({ who, action }) => [who, action])
  const hidden = await reportFor(false)
  assert.deepEqual([hidden?.errors[0]?.requests, hidden?.fields[0]?.examples[0]], [5, { capsule: '99' }])
  assert.doesNotMatch(JSON.stringify(hidden), /secret/)
  assert.notEqual(rows()[0]?.[1], 'validate capsules')
  const shown = await reportFor(true)
  assert.deepEqual(shown?.fields[0]?.examples[0], { capsule: '99', before: '99', after: '"secret"' })
  assert.match(shown.errors[0]?.message ?? '', /secret 7/)
  assert.deepEqual(rows(), [[ada.who, 'validate capsules']])
  assert.equal(book.keyed(actor), undefined, 'the key is left to the change')
})
