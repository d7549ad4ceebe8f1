/** The files of deploy/ say how a base is run. They hold what the base needs: its limits, its options, its paths. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments } from 'yaml'
import { limits } from '../base/kernel/limits.ts'
import { optionRows } from '../base/kernel/options.ts'

const folder = fileURLToPath(new URL('../deploy', import.meta.url))
const read = (name: string): string => readFileSync(join(folder, name), 'utf8')

/** The values that a unit gives a setting, in their order. */
const valuesIn = (unit: string, setting: string): string[] =>
  [...read(unit).matchAll(new RegExp(`^${setting}=(.*)$`, 'gm'))].map(([, value = '']) => value)

const shutdownSeconds = limits.process.shutdownMsMax / 1000

test('the unit gives a base the time to stop in order, and signals its launcher only', () => {
  assert.ok(Number(valuesIn('berth.service', 'TimeoutStopSec')[0]) > shutdownSeconds)
  assert.deepEqual(valuesIn('berth.service', 'KillMode'), ['mixed'])
})

test('the unit gives a reload the time of an upgrade', () => {
  assert.ok(Number(valuesIn('berth.service', 'TimeoutStartSec')[0]) > limits.process.upgradeMs / 1000)
})

test('the unit waits for the base to be ready, and longer for a sign of life than a notification may take', () => {
  assert.deepEqual(valuesIn('berth.service', 'Type'), ['notify'])
  assert.deepEqual(valuesIn('berth.service', 'NotifyAccess'), ['all'])
  const [watchdog = ''] = valuesIn('berth.service', 'WatchdogSec')
  assert.ok(Number(watchdog) / 2 > (limits.process.notifyMsMax + limits.process.notifyAgainMs) / 1000)
})

test('the units and the image name only options that there are', () => {
  const variables = [...optionRows.map(({ variable }) => variable), 'BERTH_CONFIG']
  const named = ['berth.service', 'berth-backup.service', 'Dockerfile', 'kubernetes.yaml'].flatMap(
    name => read(name).match(/\bBERTH_[A-Z_]+/g) ?? [],
  )
  assert.deepEqual(
    named.filter(name => !variables.includes(name)),
    [],
  )
  const [start = ''] = valuesIn('berth.service', 'ExecStart')
  const flags = [...optionRows.map(({ flag }) => flag), '--config']
  assert.deepEqual(
    start.match(/--[a-z-]+/g)?.filter(flag => !flags.includes(flag)),
    [],
  )
})

interface Container {
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
}

interface Deployment {
  readonly spec: {
    readonly replicas: number
    readonly strategy: { readonly type: string }
    readonly template: {
      readonly spec: {
        readonly terminationGracePeriodSeconds: number
        readonly securityContext: { readonly runAsUser: number }
        readonly containers: readonly Container[]
      }
    }
  }
}

test('the Deployment is of one base, which has the time to stop, and the user and the ports of the image', () => {
  const documents = parseAllDocuments(read('kubernetes.yaml'))
  assert.deepEqual(
    documents.flatMap(({ errors, warnings }) => [...errors, ...warnings]),
    [],
  )
  const deployment = documents.find(document => document.get('kind') === 'Deployment')?.toJS() as Deployment
  const { replicas, strategy, template } = deployment.spec
  assert.deepEqual([replicas, strategy.type], [1, 'Recreate'])
  assert.ok(template.spec.terminationGracePeriodSeconds > shutdownSeconds)
  const image = read('Dockerfile')
  const [, user] = /^USER (\d+):\d+$/m.exec(image) ?? []
  const [, ports] = /^EXPOSE (.*)$/m.exec(image) ?? []
  const [, volume] = /^VOLUME (.*)$/m.exec(image) ?? []
  const [container] = template.spec.containers
  assert.equal(String(template.spec.securityContext.runAsUser), user)
  assert.equal(container?.ports.map(({ containerPort }) => containerPort).join(' '), ports)
  assert.equal(container?.volumeMounts.find(({ name }) => name === 'data')?.mountPath, volume)
})
