import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Entrance } from './entrance.ts'
import { Outside, type OutsideHost } from './outside.ts'
import type { Pending } from './slot-call.ts'

test('a service that no module of the group declares is not called, whatever the isolate posts', async () => {
  const called: string[] = []
  const settled = Promise.withResolvers<unknown[]>()
  const host: Pick<OutsideHost, 'servicesOf' | 'callService'> = {
    servicesOf: () => ({ features: ['get'] }),
    callService: async (service, method) => {
      called.push(`${service}.${method}`)
      return '1'
    },
  }
  const answers: unknown[] = []
  const settleCalls = async (values: readonly unknown[]) => {
    answers.push(...values)
    if (answers.length === 6) settled.resolve(answers)
  }
  const slot = {
    plan: { key: 's/v1@64', scene: 's', version: 'v1', memoryMB: 64, lock: [] },
    find: () => ({ done: false, call: {} }) as Pending,
    begun: () => [],
    enter: (run: (entrance: Entrance) => Promise<unknown>) => void run({ settleCalls } as Entrance),
  }
  const outside = new Outside(slot, host as OutsideHost)
  outside.call([1, 1, 'features', 'get', '[]', 2, 1, 'payments', 'charge', '[]'])
  const [, , , , , refused] = await settled.promise
  assert.match(String(refused), /SERVICE_NOT_FOUND.*no module of this group declares it/)
  assert.deepEqual(called, ['features.get'])
})
