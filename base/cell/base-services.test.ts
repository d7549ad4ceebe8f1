import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { BerthError, type ErrorCode } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { ServiceEntry } from '../kernel/options.ts'
import { type Caller, Services } from './base-services.ts'

const probe = { name: 'probe', file: join(import.meta.dirname, '../../test/fixtures/services/probe.ts'), options: {} }

interface Started {
  readonly services: Services
  /** `method code` of every call that has ended. */
  readonly counted: string[]
  readonly failed: unknown[]
}

async function start(t: TestContext, ...more: readonly ServiceEntry[]): Promise<Started> {
  const counted: string[] = []
  const failed: unknown[] = []
  const services = new Services({
    data: import.meta.dirname,
    log: () => undefined,
    count: (_service, method, code) => counted.push(`${method} ${code}`),
    onFailed: (_service, _method, error) => failed.push(error),
    onTables: () => undefined,
  })
  await services.start([probe, ...more])
  t.after(() => services.stop())
  return { services, counted, failed }
}

const caller = (deadlineMs = 10_000, scene = 'a'): Caller => ({
  requestId: 'r1',
  unit: undefined,
  deadlineAt: performance.now() + deadlineMs,
  chain: ['outer', scene],
})

const withCode =
  (code: ErrorCode, message = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof BerthError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  }

test('a scene takes no more calls of a service than it leaves for others, and gets them back', async t => {
  const { services } = await start(t)
  const never = (scene: string) => assert.rejects(services.call('probe', 'never', '[]', caller(50, scene)), withCode('DEADLINE_EXCEEDED'))
  const stuck = Array.from({ length: limits.services.callsPerServiceMax / 2 }, () => never('a'))
  await assert.rejects(
    services.call('probe', 'json', '[]', caller()),
    withCode('SERVICE_OVERLOADED', /512 calls of it are under way already, 512 of them of scene "a"/),
  )
  stuck.push(...Array.from({ length: limits.services.callsPerServiceMax / 4 }, () => never('b')))
  assert.equal(await services.call('probe', 'json', '[]', caller(10_000, 'c')), '{"as":"it is"}')
  assert.equal(await services.call('features', 'version', '["x"]', caller()).catch(error => error.code), 'FEATURES_NOT_FOUND')
  await Promise.all(stuck)
  assert.equal(await services.call('probe', 'json', '[]', caller()), '{"as":"it is"}')
})

test('a service that fails to say what it cannot offer is named with its error', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-services-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'moody.mjs')
  await writeFile(
    file,
    "export default () => ({ methods: { noop: { input: { type: 'array' }, handler: () => null } }, faults: () => { throw new Error('no luck') } })",
  )
  const { services } = await start(t, { name: 'moody', file, options: {} })
  assert.deepEqual(services.faults(), [{ service: 'moody', name: 'faults() threw: no luck' }])
})

test('a call whose deadline has passed is refused and never reaches the service', async t => {
  const { services, counted } = await start(t)
  await assert.rejects(services.call('probe', 'throws', '[]', caller(0)), withCode('DEADLINE_EXCEEDED'))
  assert.deepEqual(counted, ['throws DEADLINE_EXCEEDED'])
})

test('what a service does after the deadline of a call changes nothing and ends nothing', async t => {
  const { services, counted, failed } = await start(t)
  await assert.rejects(
    services.call('probe', 'failsLate', '[]', caller(20)),
    withCode('DEADLINE_EXCEEDED', /^No answer of "probe\.failsLate" before/),
  )
  while ((await services.call('probe', 'aborted', '[]', caller())) !== '1') await new Promise(resolve => setImmediate(resolve))
  assert.equal(counted.filter(call => call.startsWith('failsLate')).join(), 'failsLate DEADLINE_EXCEEDED')
  assert.deepEqual(failed, [])
})

test('a call that the code inside would never send is refused', async t => {
  const { services } = await start(t)
  const call = (service: string, method: string, input = '[]') => services.call(service, method, input, caller())
  await assert.rejects(call('elsewhere', 'get'), withCode('SERVICE_NOT_FOUND', /"elsewhere\.get"/))
  await assert.rejects(call('probe', 'toString'), withCode('SERVICE_NOT_FOUND', /"probe\.toString"/))
  await assert.rejects(call('probe', 'echo', '['), withCode('SERVICE_INPUT_INVALID', /JSON/))
  await assert.rejects(call('probe', 'echo', '{}'), withCode('SERVICE_INPUT_INVALID', /array/))
  const huge = JSON.stringify(['x'.repeat(limits.calls.charsMax)])
  await assert.rejects(call('probe', 'echo', huge), withCode('SERVICE_INPUT_INVALID', /1048580 characters of JSON, the limit is 1048576/))
})

test('a module is given the methods of the services it names, and of no others', async t => {
  const { services } = await start(t)
  assert.deepEqual(services.named(['features']), { features: ['get', 'getMany', 'version'] })
  assert.deepEqual(services.named([]), {})
  assert.throws(() => services.named(['features', 'billing']), withCode('SERVICE_NOT_OFFERED', /"billing"/))
})
