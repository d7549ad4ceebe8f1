/** Carries out the changes that are not of a scene: of modules and tokens, and what is asked of cells and leaves a row in the audit log. */
import { isUtf8 } from 'node:buffer'
import { deletedKey, type ModuleRecord, moduleKey, type Records } from '../../change/records.ts'
import type { DeletedModules, ModulesToDelete } from '../../contract/module-api.ts'
import { BerthError } from '../../kernel/errors.ts'
import { limits } from '../../kernel/limits.ts'
import { checkSourceMap, SourceMapFault } from '../../kernel/source-map.ts'
import { explainLoad } from '../../kernel/stacks.ts'
import { describeFault } from '../../kernel/text-file.ts'
import type { Blobs } from '../../store/blobs.ts'
import type { Write } from '../../store/store.ts'
import type { ModuleManifest, Right } from '../../traffic/schema.ts'
import type { Actor, Book } from '../book/book.ts'
import { hashOf, newSecret, newTokenId, type Token } from '../book/token-book.ts'
import type { Applied } from '../cells/cells.ts'
import { TrialError, type Trials } from '../cells/trials.ts'
import { SourceMapThread } from '../source-map-thread.ts'
import { modulesToDelete } from './modules-to-delete.ts'
import { stopwatch, type Timings } from './stopwatch.ts'
import type { TablePublisher } from './table-publisher.ts'
import { Turns } from './turns.ts'

export interface BaseDriverParts {
  readonly book: Book
  readonly blobs: Blobs
  readonly trials: Trials
  readonly tables: TablePublisher
  /** Asks the supervisor to replace a cell. */
  readonly retire: (cell: number) => void
}

export interface Published {
  /** False when the same version with the same bytes was there already. */
  readonly created: boolean
  readonly module: ModuleRecord
  readonly timings: Timings
}

export class BaseDriver {
  readonly #parts: BaseDriverParts
  readonly #turns = new Turns()

  constructor(parts: BaseDriverParts) {
    this.#parts = parts
  }

  /**
   * Tries a module out, then keeps it. Its blobs are there already.
   * @throws MODULE_EXISTS, BLOB_NOT_FOUND, BUNDLE_TOO_LARGE, BUNDLE_INVALID, SOURCE_MAP_INVALID, and what the trial finds.
   */
  publishModule(manifest: ModuleManifest, actor: Actor): Promise<Published> {
    const { book, trials } = this.#parts
    const name = moduleKey(manifest.name, manifest.version)
    return this.#turns.run(`module ${name}`, async () => {
      const existing = book.modules.publishedAlready(manifest)
      const again = book.keyed(actor)?.result !== undefined
      if (existing !== undefined) return { created: again, module: existing, timings: {} }
      const steps = stopwatch()
      const bundle = await steps('checkMs', () => this.#readBundle(manifest))
      const trial = { name, stages: manifest.stages, bundle }
      const trying = steps('trialMs', () => trials.pass(trial, actor.who))
      const checking = this.#checkSourceMap(manifest)
      checking.catch(() => undefined)
      await trying.catch(error => this.#explain(error, manifest))
      // That a module throws at load matters more than what its source map is.
      await checking
      const module = await steps('commitMs', () => this.#keepModule(name, manifest, actor))
      return { created: true, module, timings: steps.timings }
    })
  }

  /**
   * Deletes versions of a module that no version of a scene has in its lock. Nothing comes between the look and the commit.
   * @returns those that were deleted, which with `dryRun` are those that would be
   * @throws MODULE_NOT_FOUND, MODULE_IN_USE
   */
  async deleteModules(name: string, wanted: ModulesToDelete, actor: Actor): Promise<DeletedModules> {
    const { book } = this.#parts
    const kept = book.keyed(actor)?.result as DeletedModules | undefined
    if (kept !== undefined) return kept
    const modules = modulesToDelete(book, name, wanted)
    const deleted = { versions: modules.map(({ version }) => version) }
    if (wanted.dryRun || modules.length === 0) return deleted
    const at = book.now().toISOString()
    const writes = modules.flatMap((module): Write<Records>[] => {
      const key = moduleKey(name, module.version)
      const { publishedAt: _, publishedBy: __, ...manifest } = module
      return [
        { kind: 'module', key, value: null },
        { kind: 'deleted', key: deletedKey('module', key), value: { at, manifest } },
      ]
    })
    const payload = { modules: modules.map(({ version }) => moduleKey(name, version)) }
    const target = payload.modules.length === 1 ? (payload.modules[0] ?? name) : name
    book.commit(writes, actor, { kind: 'delete modules', payload, facts: {}, target, before: { modules }, after: null }, () => deleted)
    return deleted
  }

  /** @throws the error, in the words of the sources of the module when the trial has a stack for it */
  async #explain(error: unknown, module: ModuleManifest): Promise<never> {
    if (!(error instanceof TrialError) || error.rawStack === undefined) throw error
    const stacks = new SourceMapThread(digest => this.#parts.blobs.read(digest))
    const { code, rawStack } = error
    const { message, stack, frame, at, advice } = await explainLoad(stacks, { message: error.message, stack: rawStack }, [module])
    throw new BerthError(code, message, { cause: error, extra: { stack, frame, at }, advice })
  }

  #keepModule(key: string, manifest: ModuleManifest, actor: Actor): ModuleRecord {
    const { book } = this.#parts
    const value = { ...manifest, publishedAt: book.now().toISOString(), publishedBy: actor.who }
    const change = { kind: 'publish module', payload: { manifest }, facts: {}, target: key, before: null, after: manifest } as const
    book.commit([{ kind: 'module', key, value, expect: 'absent' }], actor, change)
    return value
  }

  async #readBundle({ name, bundle, sourceMap }: ModuleManifest): Promise<string> {
    const { blobs } = this.#parts
    await this.#requireBlob(`bundle of module "${name}"`, bundle, limits.module.bundleBytesMax)
    if (sourceMap !== undefined) await this.#requireBlob(`source map of module "${name}"`, sourceMap, limits.module.sourceMapBytesMax)
    const bytes = await blobs.read(bundle)
    if (!isUtf8(bytes)) throw new BerthError('BUNDLE_INVALID', `Cannot publish module "${name}": of its bundle, ${describeFault(bytes)}`)
    return bytes.toString('utf8')
  }

  async #checkSourceMap({ name, sourceMap }: ModuleManifest): Promise<void> {
    if (sourceMap === undefined) return
    try {
      checkSourceMap((await this.#parts.blobs.read(sourceMap)).toString('utf8'), limits.sourceMap)
    } catch (error) {
      if (!(error instanceof SourceMapFault)) throw error
      throw new BerthError('SOURCE_MAP_INVALID', `Cannot publish module "${name}": of its source map, ${error.message}`)
    }
  }

  async #requireBlob(what: string, digest: string, bytesMax: number): Promise<void> {
    const size = await this.#parts.blobs.size(digest)
    if (size === undefined) throw new BerthError('BLOB_NOT_FOUND', `Cannot find the ${what}: blob ${digest} was not uploaded`)
    if (size > bytesMax) throw new BerthError('BUNDLE_TOO_LARGE', `Cannot take the ${what}: it has ${size} bytes, the limit is ${bytesMax}`)
  }

  /**
   * The token is known to the connected cells when this resolves (bounded).
   * @throws ANSWER_LOST when the request was carried out before: the token was answered then, and is kept nowhere
   */
  async createToken(rights: Right[], label: string, actor: Actor): Promise<Token & { readonly token: string }> {
    const made = this.#parts.book.keyed(actor)?.result as { readonly id: string } | undefined
    if (made !== undefined) {
      const message = `Cannot answer the request again: it made token "${made.id}", and the token itself is kept nowhere`
      throw new BerthError('ANSWER_LOST', message, { extra: { token: made.id } })
    }
    const token = addToken(this.#parts.book, newSecret(), rights, label, actor)
    await this.#parts.tables.refresh()
    return token
  }

  /**
   * @returns how many of the cells take the token no more: all that are connected, unless one is too slow to say so.
   * @throws TOKEN_NOT_FOUND
   */
  async revokeToken(id: string, actor: Actor): Promise<Applied> {
    const { book, tables } = this.#parts
    if (book.keyed(actor)?.result === undefined) {
      const { rights, label, revision } = book.tokens.get(id)
      const payload = { rights, label }
      const change = { kind: 'revoke token', payload, facts: {}, target: id, before: payload, after: null } as const
      book.commit([{ kind: 'token', key: id, value: null, expect: revision }], actor, change)
    }
    return tables.refresh()
  }

  /** Has a cell replaced. A request that was carried out before replaces no other cell, whose number is the same by then. */
  retireCell(cell: number, actor: Actor): void {
    const { book, retire } = this.#parts
    if (book.keyed(actor) !== undefined) return
    const change = { kind: 'retire cell', payload: { cell }, facts: {}, target: String(cell), before: null, after: null } as const
    book.commit([], actor, change)
    retire(cell)
  }

  /** A heap holds what requests brought, so who took a profile is worth a row. */
  noteProfile(scene: string, version: string, profile: 'cpu' | 'heap', actor: Actor): void {
    const payload = { scene, version, profile }
    const change = { kind: 'take profile', payload, facts: {}, target: `${scene}/${version}`, before: null, after: null } as const
    this.#parts.book.commit([], actor, { ...change, action: `profile ${profile}` })
  }
}

/** Keeps the hash of a token. @returns it with the token, which is kept nowhere */
export function addToken(book: Book, secret: string, rights: Right[], label: string, actor: Actor): Token & { readonly token: string } {
  const id = newTokenId()
  const token = { rights, label, createdAt: book.now().toISOString(), createdBy: actor.who }
  const facts = { hash: hashOf(secret) }
  const change = { kind: 'create token', payload: { rights, label }, facts, target: id, before: null, after: { rights, label } } as const
  book.commit([{ kind: 'token', key: id, value: { ...facts, ...token }, expect: 'absent' }], actor, change, () => ({ id }))
  return { id, ...token, token: secret }
}
