/** Profiles of slots that serve: taken in a cell, put into terms of the source here. */
import { Readable } from 'node:stream'
import { TraceMap } from '@jridgewell/trace-mapping'
import Type from 'typebox'
import { BerthError } from '../../../kernel/errors.ts'
import type { Blobs } from '../../../store/blobs.ts'
import type { Lock } from '../../../traffic/schema.ts'
import { lockedModules } from '../../../traffic/table.ts'
import type { Cells, FoundSlot, TakenProfile } from '../../cells/cells.ts'
import { type CpuProfile, mapProfile, mergeProfiles } from '../../cells/cpu-profile.ts'
import * as schemas from '../replies.ts'
import { actorOf, type RouteParts, type Scope } from './routes.ts'

export function profileRoutes(scope: Scope, { registry, cells, blobs }: RouteParts): void {
  scope.post(
    '/api/scenes/:id/profiles',
    {
      schema: {
        operationId: 'takeProfile',
        summary:
          'Take a .cpuprofile of a slot that serves, in the places of its source, or a .heapsnapshot; requests are answered meanwhile',
        description:
          'The headers x-scene-version and x-profile-cell say what was profiled, x-profile-cpu-ms the CPU it used meanwhile, and x-profile-held-ms how long its requests were held up.',
        tags: ['scenes'],
        params: schemas.SceneParam,
        body: schemas.ProfileBody,
        response: {
          200: Type.Unsafe<Readable | string>(Type.Object({}, { description: 'the profile, as its readers take it' })),
          '4xx': schemas.ProblemReply,
          '5xx': schemas.ProblemReply,
        },
      },
    },
    async (request, reply) => {
      const { kind, seconds, cell } = request.body
      const { definition, baseline } = registry.scene(request.params.id)
      const { id, lock } = registry.version(definition.id, request.body.version ?? baseline ?? noBaseline(definition.id))
      const slot = await chooseSlot(cells, definition.id, id, cell)
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort())
      // A heap holds what requests brought: who took it is worth a line.
      registry.note(actorOf(request), `profile ${kind}`, `${definition.id}/${id}`)
      const taken = await cells.profile(slot.pid, { scene: definition.id, version: id, kind, seconds }, gone.signal)
      const body = kind === 'cpu' ? await cpuProfile(taken, lock, blobs) : Readable.from(heapSnapshot(taken))
      reply.header('x-scene-version', id).header('x-profile-cell', slot.cell)
      reply.header('x-profile-cpu-ms', taken.facts.cpuMs.toFixed(1)).header('x-profile-held-ms', taken.facts.heldMs.toFixed(1))
      return reply.type('application/json').send(body)
    },
  )
}

function noBaseline(scene: string): never {
  throw new BerthError('SCENE_WITHOUT_BASELINE', `Cannot profile scene "${scene}": it has no baseline; name a version`)
}

/** The busiest, unless a cell is named. */
async function chooseSlot(cells: Cells, scene: string, version: string, cell: number | undefined): Promise<FoundSlot> {
  const action = `Cannot profile version "${version}" of scene "${scene}"`
  if (cell !== undefined && !cells.connected.some(one => one.cell === cell)) {
    const known = cells.connected.map(one => one.cell).sort((a, b) => a - b)
    throw new BerthError('CELL_NOT_FOUND', `${action}: there is no cell ${cell}; the base has ${known.join(', ') || 'none'}`)
  }
  const found = await cells.findSlots(scene, version)
  const chosen = found.filter(slot => cell === undefined || slot.cell === cell).sort((a, b) => b.cpuMs - a.cpuMs)[0]
  if (chosen !== undefined) return chosen
  throw new BerthError('SLOT_IDLE', `${action}: ${cell === undefined ? 'no cell' : `cell ${cell}`} has a slot of it loaded`)
}

async function cpuProfile(taken: TakenProfile, lock: Lock, blobs: Blobs): Promise<string> {
  const parts: CpuProfile[] = []
  for await (const line of linesOf(taken)) parts.push((JSON.parse(line) as { result: { profile: CpuProfile } }).result.profile)
  const maps = new Map<string, TraceMap>()
  for (const { name, version, sourceMap } of lockedModules(lock)) {
    if (sourceMap !== undefined) maps.set(`${name}@${version}`, new TraceMap((await blobs.read(sourceMap)).toString('utf8')))
  }
  return JSON.stringify(mapProfile(mergeProfiles(parts), module => maps.get(module)))
}

async function* heapSnapshot(taken: TakenProfile): AsyncGenerator<string> {
  for await (const line of linesOf(taken)) yield (JSON.parse(line) as { params: { chunk: string } }).params.chunk
}

async function* linesOf({ pieces, end }: TakenProfile): AsyncGenerator<string> {
  let rest: string[] = []
  try {
    for await (const piece of pieces) {
      rest.push(piece)
      // Pieces end with the line, or are cut off within it.
      if (!piece.endsWith('\n')) continue
      yield rest.join('')
      rest = []
    }
  } finally {
    end()
  }
}
