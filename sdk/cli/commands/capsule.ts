/** `sdk capsule`: requests that were captured with everything that reached the modules. */
import { writeFile } from 'node:fs/promises'
import type { CapsulesToDelete, CapsuleView } from '../../../base/contract/capsule-api.ts'
import type { Reasoned } from '../../../base/contract/common-api.ts'
import { messageOf } from '../../../base/kernel/errors.ts'
import { SdkError } from '../../sdk-error.ts'
import { parseVersion, usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { nameOfExport, readExported } from '../files/exported-capsule.ts'
import { type AgreementOptions, agree } from '../terminal/agreement.ts'
import { ageOf, formatBytes, timed } from '../terminal/output.ts'
import { describeCapsule, lineToCapture } from '../views/capsule-view.ts'

export interface ListOptions {
  readonly version?: string
  readonly why?: string
  readonly failed?: boolean
  readonly unit?: string
  readonly request?: string
  readonly limit?: string
}

/** Capsules that a base lists unless it is asked for another number, and at most. */
const [LISTED, LISTED_MAX] = [100, 1000]

export async function listCapsules({ client, out }: Context, scene: string, options: ListOptions): Promise<void> {
  const { version, why, failed, unit, request, limit } = options
  if (limit !== undefined && !(/^[1-9]\d*$/.test(limit) && Number(limit) <= LISTED_MAX))
    throw usage(`Cannot list "${limit}" capsules`, `Give a number from 1 to ${LISTED_MAX}.`)
  const query = { version: version && parseVersion(version), why, unit, limit, requestId: request, failed: failed ? 'true' : undefined }
  const capsules = await client.capsules(scene, query)
  out.result(capsules)
  if (capsules.length === 0) return out.next(whyNone(scene, options))
  out.table(['capsule', 'version', 'answered', 'why', 'unit', 'took', 'answer', 'replay'], capsules.map(rowOf))
  out.next(`Look at one: sdk capsule show ${scene} ${capsules[0]?.id}`)
  if (capsules.length === Number(limit ?? LISTED)) out.next(`There may be more: --limit takes up to ${LISTED_MAX}.`)
}

const rowOf = ({ id, version, at, why, unit, tookMs, failed, inexact, imported }: CapsuleView): string[] => [
  ...[id, imported ? `${version} of another base` : version, `${ageOf(at)} ago`, why, unit ?? ''],
  ...[`${tookMs.toFixed(1)} ms`, failed ?? 'ok', inexact.length > 0 ? inexact.join(', ') : imported ? 'exact there' : 'exact'],
]

function whyNone(scene: string, options: ListOptions): string {
  const isFiltered = Object.keys(options).some(name => ['version', 'why', 'failed', 'unit', 'request'].includes(name))
  if (isFiltered) return `No captured request fits. All: sdk capsule list ${scene}`
  return `No request of ${scene} is captured yet: of each hundred it is about one, unless "capsules" in its definition says otherwise. Have one captured: ${lineToCapture(scene)}`
}

export interface ShowOptions {
  readonly full?: boolean
}

export async function showCapsule({ client, out }: Context, scene: string, id: string, { full = false }: ShowOptions): Promise<void> {
  const detail = await client.capsule(scene, id)
  out.result(detail)
  for (const line of describeCapsule(detail, full ? Number.POSITIVE_INFINITY : undefined)) out.say(line)
  if ('failure' in detail.capsule.answer) out.next(`With its stack, in the log of then: sdk logs ${scene} --level error`)
  out.next(`Again, in a debugger: sdk capsule run ${scene} ${id} --inspect`)
}

export interface ExportOptions {
  readonly out?: string
}

export async function exportCapsule({ client, out }: Context, scene: string, id: string, options: ExportOptions): Promise<void> {
  const exported = await client.exportCapsule(scene, id)
  const text = `${JSON.stringify(exported)}\n`
  const file = options.out ?? nameOfExport(scene, id)
  if (file === '-') {
    process.stdout.write(text)
    return
  }
  await writeFile(file, text, { mode: 0o600 }).catch((error: unknown) => {
    throw new SdkError('FILE_UNWRITABLE', `Cannot write "${file}": ${messageOf(error)}`, {
      hint: 'Name another file with --out.',
      cause: error,
    })
  })
  out.result({ capsule: id, file })
  out.say(
    `${file}  ${formatBytes(Buffer.byteLength(text))}, ${exported.entries.length} entries of its slot, code of ${exported.head.version}`,
  )
  out.next(`It holds what a caller has sent: keep it as such. Run it here: sdk capsule run ${file}`)
}

export async function importCapsules({ client, out }: Context, files: readonly string[]): Promise<void> {
  const imported: unknown[] = []
  for (const file of files) {
    const exported = await readExported(file)
    const { scene } = exported.capsule
    const [{ id, created }, ms] = await timed(() => client.importCapsule(scene, exported))
    imported.push({ file, scene, id, created })
    out.done('import', ms, created ? `${id} to ${scene}` : `nothing: ${scene} has ${id} already`)
  }
  out.result(imported)
}

export interface DeleteOptions extends Reasoned, AgreementOptions {
  readonly unit?: string
  readonly version?: string
  readonly all?: boolean
}

export async function deleteCapsules({ client, out }: Context, scene: string, ids: string[], options: DeleteOptions): Promise<void> {
  const { wanted, what } = whatToDelete(ids, options)
  const question = `Delete ${what} of ${scene}? Those that came after one of them in the same slot go too`
  await agree({ question, what: `whether to delete ${what}`, hint: 'Add --yes if it is meant.' }, options)
  const [{ capsules }, ms] = await timed(() =>
    client.deleteCapsules(scene, { ...wanted, ...(options.reason && { reason: options.reason }) }),
  )
  out.result({ capsules })
  out.done(
    'deleted',
    ms,
    capsules.length === 0 ? 'nothing: there is none' : `${capsules.length} ${capsules.length === 1 ? 'capsule' : 'capsules'}`,
  )
}

/** @throws SdkError USAGE unless exactly one thing is named */
function whatToDelete(ids: string[], { unit, version, all }: DeleteOptions): { readonly wanted: CapsulesToDelete; readonly what: string } {
  const named: { readonly wanted: CapsulesToDelete; readonly what: string }[] = [
    ...(ids.length > 0 ? [{ wanted: { capsules: ids }, what: ids.length === 1 ? `capsule ${ids[0]}` : `${ids.length} capsules` }] : []),
    ...(unit === undefined ? [] : [{ wanted: { unit }, what: `every capsule of unit "${unit}"` }]),
    ...(version === undefined ? [] : [{ wanted: { version: parseVersion(version) }, what: `every capsule of ${version}` }]),
    ...(all ? [{ wanted: { all } as const, what: 'every capsule' }] : []),
  ]
  const [only] = named
  if (named.length === 1 && only !== undefined) return only
  throw usage('Cannot tell what to delete', 'Name capsules, or one of --unit, --version and --all.')
}
