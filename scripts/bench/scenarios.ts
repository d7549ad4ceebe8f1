/** What `npm run bench` measures: each scenario compares peers under one load. Without effects. */
import type { Way } from './comparison.ts'
import { sampleInput } from './rank50/index.ts'

export const peerNames = ['fastify', 'fastify-cluster', 'worker-tuned', 'worker', 'workerd', 'berth', 'berth-2'] as const
export type PeerName = (typeof peerNames)[number]

/** A closed loop; an open loop at half of the rate that Fastify reaches in `connections-32`; or one request to each of many scenes. */
type ScenarioLoad = { readonly connections: number } | 'half of the most' | 'one by one'

export interface Scenario {
  readonly title: string
  /** Peers and the scene that is asked of each. The first is what others are compared with. */
  readonly subjects: readonly (readonly [PeerName, string?])[]
  /** Candidates in a body, of about seventy bytes each. @default `CANDIDATES` */
  readonly candidates?: number
  readonly load: ScenarioLoad
  readonly ways: readonly Way[]
}

export const CANDIDATES = 50

const both = ['pinned', 'free'] as const
const twoPeers = [['fastify'], ['berth']] as const

export const scenarios = {
  'connections-2': { title: '2 connections', load: { connections: 2 }, subjects: twoPeers, ways: both },
  'connections-32': {
    title: '32 connections',
    load: { connections: 32 },
    subjects: [['fastify'], ['berth'], ['worker-tuned'], ['worker'], ['workerd']],
    ways: both,
  },
  'connections-256': { title: '256 connections', load: { connections: 256 }, subjects: twoPeers, ways: both },
  'body-small': { title: 'Bodies of 0.3 KB', load: { connections: 32 }, candidates: 4, subjects: twoPeers, ways: both },
  'body-large': { title: 'Bodies of 30 KB', load: { connections: 32 }, candidates: 413, subjects: twoPeers, ways: both },
  'two-cells': {
    title: 'Two cells, two processes',
    load: { connections: 64 },
    subjects: [['fastify-cluster'], ['berth-2']],
    ways: ['free'],
  },
  'three-modules': {
    title: 'Three modules',
    load: { connections: 32 },
    subjects: [
      ['fastify', 'rank50-three'],
      ['berth', 'rank50-three'],
    ],
    ways: both,
  },
  awaits: {
    title: 'A stage that awaits a service',
    load: { connections: 32 },
    subjects: [['berth'], ['berth', 'rank50-service']],
    ways: both,
  },
  'half-rate': {
    title: 'Half of what Fastify answers at most',
    load: 'half of the most',
    subjects: twoPeers,
    ways: both,
  },
  cold: {
    title: 'A scene whose slot is not loaded',
    load: 'one by one',
    subjects: [
      ['berth', 'warm'],
      ['berth', 'cold'],
    ],
    ways: ['pinned'],
  },
} as const satisfies Readonly<Record<string, Scenario>>

export type ScenarioName = keyof typeof scenarios

export const bodyOf = (candidates: number): string => JSON.stringify(sampleInput(candidates))
