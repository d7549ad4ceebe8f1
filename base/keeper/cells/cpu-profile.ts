/** CPU profiles as V8 writes them: parts are merged into one, and every function in it gets its name and place in the source. */
import { decodedMappings, originalPositionFor, type TraceMap } from '@jridgewell/trace-mapping'
import type { CpuProfile } from '../../contract/profile-api.ts'

type ProfileNode = CpuProfile['nodes'][number]
type CallFrame = ProfileNode['callFrame']
type PositionTick = NonNullable<ProfileNode['positionTicks']>[number]

interface Merged {
  readonly id: number
  readonly callFrame: CallFrame
  hitCount: number
  readonly children: Map<string, Merged>
  readonly ticks: Map<number, number>
}

const IDLE: CallFrame = { functionName: '(idle)', scriptId: '0', url: '', lineNumber: -1, columnNumber: -1 }
const ROOT: CallFrame = { ...IDLE, functionName: '(root)' }
/**
 * The longest time that a sample stands for, in microseconds. V8 takes no samples while nothing runs, and readers would count such a pause
 * as the work before it.
 */
const SAMPLE_US_MAX = 2000
const LINES_APART_MAX = 10

/** One profile of all the parts, in the order they were taken. What lies between two samples that are far apart is idle. */
export function mergeProfiles(parts: readonly CpuProfile[]): CpuProfile {
  const root: Merged = merged(1, ROOT)
  let ids = 1
  const child = (parent: Merged, callFrame: CallFrame): Merged => {
    const key = `${callFrame.functionName} ${callFrame.url} ${callFrame.lineNumber} ${callFrame.columnNumber}`
    const known = parent.children.get(key)
    if (known !== undefined) return known
    const node = merged(++ids, callFrame)
    parent.children.set(key, node)
    return node
  }
  const idle = child(root, IDLE)
  const seen = parts.flatMap(part => addPart(part, root, child))
  const { samples, timeDeltas } = spread(seen, parts[0]?.startTime ?? 0, idle.id)
  const nodes = [...flatten(root)]
  return { nodes, startTime: parts[0]?.startTime ?? 0, endTime: parts.at(-1)?.endTime ?? 0, samples, timeDeltas }
}

interface Sample {
  readonly at: number
  readonly node: number
}

/** Adds the nodes of a part, and returns its samples. */
function addPart(part: CpuProfile, root: Merged, child: (parent: Merged, frame: CallFrame) => Merged): Sample[] {
  const byId = new Map(part.nodes.map(node => [node.id, node]))
  const ids = new Map<number, number>()
  const first = part.nodes[0]
  const left: [ProfileNode, Merged][] = first === undefined ? [] : [[first, root]]
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const [node, into] = next
    ids.set(node.id, into.id)
    into.hitCount += node.hitCount
    for (const { line, ticks } of node.positionTicks ?? []) into.ticks.set(line, (into.ticks.get(line) ?? 0) + ticks)
    for (const id of node.children ?? []) {
      const found = byId.get(id)
      if (found !== undefined) left.push([found, child(into, found.callFrame)])
    }
  }
  let at = part.startTime
  return part.samples.map((id, index) => {
    at += part.timeDeltas[index] ?? 0
    return { at, node: ids.get(id) ?? root.id }
  })
}

function spread(seen: readonly Sample[], startTime: number, idle: number): Pick<CpuProfile, 'samples' | 'timeDeltas'> {
  const samples: number[] = []
  const timeDeltas: number[] = []
  let last = startTime
  const add = (node: number, at: number) => {
    samples.push(node)
    // V8 orders samples on another thread than the one that takes their times.
    timeDeltas.push(Math.max(0, at - last))
    last = Math.max(last, at)
  }
  for (const { at, node } of seen) {
    if (at - last > SAMPLE_US_MAX) add(idle, samples.length === 0 ? last : last + SAMPLE_US_MAX / 2)
    add(node, at)
  }
  return { samples, timeDeltas }
}

function merged(id: number, callFrame: CallFrame): Merged {
  return { id, callFrame, hitCount: 0, children: new Map(), ticks: new Map() }
}

function* flatten(root: Merged): Generator<ProfileNode> {
  const left = [root]
  for (let node = left.pop(); node !== undefined; node = left.pop()) {
    const { id, callFrame, hitCount, ticks } = node
    const children = [...node.children.values()]
    left.push(...children)
    const positionTicks = [...ticks].map(([line, count]) => ({ line, ticks: count }))
    yield { id, callFrame, hitCount, children: children.map(one => one.id), ...(positionTicks.length > 0 && { positionTicks }) }
  }
}

/**
 * The profile with every function of a module at its place in the source.
 * @param mapOf the source map of a module's script, by `name@version`
 */
export function mapProfile(profile: CpuProfile, mapOf: (module: string) => TraceMap | undefined): CpuProfile {
  return { ...profile, nodes: profile.nodes.map(node => mapNode(node, mapOf)) }
}

function mapNode(node: ProfileNode, mapOf: (module: string) => TraceMap | undefined): ProfileNode {
  const { positionTicks, ...rest } = node
  const module = /^berth:\/\/\/([a-z0-9-]+@[^/]+)\.js$/.exec(node.callFrame.url)?.[1]
  const map = module === undefined ? undefined : mapOf(module)
  if (map === undefined) return node
  const { functionName, lineNumber, columnNumber } = node.callFrame
  const found = originalPositionFor(map, { line: lineNumber + 1, column: columnNumber })
  if (found.source === null) return rest
  const url = `berth:///${module}/${found.source}`
  const callFrame = {
    ...node.callFrame,
    functionName: functionName || (found.name ?? ''),
    url,
    lineNumber: found.line - 1,
    columnNumber: found.column,
  }
  const ticks = mapTicks(positionTicks ?? [], map, found.source, { line: lineNumber + 1, column: columnNumber })
  return { ...rest, callFrame, ...(ticks.length > 0 && { positionTicks: ticks }) }
}

/** Where a function begins in the bundle: what lies before it on the same line is the code of others. */
interface Start {
  readonly line: number
  readonly column: number
}

/**
 * V8 gives only the line, and a line of a bundle may hold several lines of the source. Then the first of them is taken if they are near
 * each other.
 */
function mapTicks(ticks: readonly PositionTick[], map: TraceMap, source: string, start: Start): PositionTick[] {
  const byLine = new Map<number, number>()
  for (const { line, ticks: count } of ticks) {
    const place = lineOf(map, line, source, line === start.line ? start.column : 0)
    if (place !== undefined) byLine.set(place, (byLine.get(place) ?? 0) + count)
  }
  return [...byLine].map(([line, count]) => ({ line, ticks: count })).sort((a, b) => a.line - b.line)
}

function lineOf(map: TraceMap, line: number, source: string, fromColumn: number): number | undefined {
  const index = map.sources.indexOf(source)
  const lines = (decodedMappings(map)[line - 1] ?? []).flatMap(segment =>
    segment.length > 1 && segment[1] === index && segment[0] >= fromColumn ? (segment[2] ?? []) : [],
  )
  const [first] = lines
  return first === undefined || Math.max(...lines) - Math.min(...lines) > LINES_APART_MAX ? undefined : first + 1
}
