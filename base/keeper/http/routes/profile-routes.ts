/** Profiles of slots that serve. A cell takes them; here they get their names and places in the source. */
import { Readable } from 'node:stream'
import Type from 'typebox'
import { SceneParams } from '../../../contract/common-api.ts'
import { CpuProfile, HeapSnapshot, NewProfile } from '../../../contract/profile-api.ts'
import { BerthError } from '../../../kernel/errors.ts'
import type { Blobs } from '../../../store/blobs.ts'
import type { Lock } from '../../../traffic/schema.ts'
import { lockedModules } from '../../../traffic/table.ts'
import type { Cells, FoundSlot, TakenProfile } from '../../cells/cells.ts'
import { mergeProfiles } from '../../cells/cpu-profile.ts'
import { SourceMapThread } from '../../source-map-thread.ts'
import { actorOf } from '../revisions.ts'
import { json, ok, route } from '../route.ts'

const gives = {
  description: 'the profile, as its readers take it',
  contents: { 'application/json': Type.Union([CpuProfile, HeapSnapshot]) },
}

export const profileRoutes = [
  route({
    operation: 'takeProfile',
    method: 'POST',
    path: '/api/scenes/:id/profiles',
    right: 'publish',
    about: 'Take a .cpuprofile of a slot that serves, in the places of its source, or a .heapsnapshot; requests are answered meanwhile',
    details:
      'The headers x-scene-version and x-profile-cell say what was profiled, x-profile-cpu-ms the CPU it used meanwhile, and x-profile-held-ms how long its requests were held up.',
    write: false,
    takes: { params: SceneParams, body: json(NewProfile) },
    gives: { 200: gives },
    run: async (request, { book, baseDriver, cells, blobs }) => {
      const { kind, seconds, cell } = request.body
      const { definition, baseline } = book.scenes.get(request.params.id)
      const { id, lock } = book.scenes.version(definition.id, request.body.version ?? baseline ?? noBaseline(definition.id))
      const slot = await chooseSlot(cells, definition.id, id, cell)
      const gone = request.gone()
      // A heap holds data of requests, so the log says who took it.
      baseDriver.noteProfile(definition.id, id, kind, actorOf(request))
      const taken = await cells.profile(slot.pid, { scene: definition.id, version: id, kind, seconds }, gone)
      const headers = {
        ...{ 'content-type': 'application/json', 'x-scene-version': id, 'x-profile-cell': String(slot.cell) },
        ...{ 'x-profile-cpu-ms': taken.facts.cpuMs.toFixed(1), 'x-profile-held-ms': taken.facts.heldMs.toFixed(1) },
      }
      const body = kind === 'cpu' ? await cpuProfile(taken, lock, blobs) : Readable.from(heapSnapshot(taken))
      return ok(body, headers)
    },
  }),
]

function noBaseline(scene: string): never {
  throw new BerthError('SCENE_WITHOUT_BASELINE', `Cannot profile scene "${scene}": it has no baseline; name a version`)
}

/** The busiest slot, unless a cell is named. */
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
  return new SourceMapThread(digest => blobs.read(digest)).mapProfile(mergeProfiles(parts), [...lockedModules(lock)])
}

async function* heapSnapshot(taken: TakenProfile): AsyncGenerator<string> {
  for await (const line of linesOf(taken)) yield (JSON.parse(line) as { params: { chunk: string } }).params.chunk
}

async function* linesOf({ pieces, end }: TakenProfile): AsyncGenerator<string> {
  let rest: string[] = []
  try {
    for await (const piece of pieces) {
      rest.push(piece)
      // A piece ends with the line, or in the middle of it.
      if (!piece.endsWith('\n')) continue
      yield rest.join('')
      rest = []
    }
  } finally {
    end()
  }
}
