/** Reads and checks the package.json of a module. It does not use the schema library, because loading that takes longer than bundling. */
import { readFile, realpath, stat } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import isVersion from 'semver/functions/valid.js'
import { messageOf } from '../../base/kernel/errors.ts'
import { manifestLimits, patterns } from '../../base/traffic/names.ts'
import type { ModuleManifest } from '../../base/traffic/schema.ts'
import { SdkError } from '../sdk-error.ts'

/** The part of a module's manifest that package.json gives; `bundle` and `sourceMap` are added when the module is published. */
export type BundleManifest = Omit<ModuleManifest, 'bundle' | 'sourceMap'>

/** Where a module is, and how messages show it. */
export interface ModuleFolder {
  /** Absolute path without symbolic links. */
  readonly folder: string
  /** The folder as messages show it: relative to the working directory. */
  readonly shown: string
  readonly color: boolean
}

export async function locateModule(folder: string, color: boolean): Promise<ModuleFolder> {
  return {
    // esbuild resolves symbolic links, so with a link here its paths would seem to be outside of the folder.
    folder: await realpath(folder).catch(() => resolve(folder)),
    shown: relative(process.cwd(), resolve(folder)) || '.',
    color,
  }
}

export interface Package {
  readonly manifest: BundleManifest
  /** Path of the entry file, relative to the folder. */
  readonly entry: string
}

/** @throws SdkError PACKAGE_INVALID, ENTRY_NOT_FOUND */
export async function readPackage(module: ModuleFolder): Promise<Package> {
  const contents = (await readJson(module)) as PackageJson
  for (const field of fields) checkField(module, contents, field)
  const { name, version, main, berth } = contents
  const unknown = Object.keys(berth).filter(key => !berthMembers.has(key))
  if (unknown.length > 0)
    throw invalid(module, `"berth" has unknown members: ${unknown.join(', ')}`, `"berth" may have: ${[...berthMembers].join(', ')}.`)
  const description = berth.description ?? contents.description
  return {
    manifest: {
      name,
      version,
      stages: berth.stages,
      ...(description !== undefined && { description }),
      ...(berth.services && { services: berth.services }),
      ...(berth.fetch && { fetch: berth.fetch }),
    },
    entry: await findEntry(module, main),
  }
}

interface PackageJson {
  readonly name: string
  readonly version: string
  readonly description?: string
  readonly main?: string
  /** A `description` here overrides that of the package. */
  readonly berth: { readonly stages: string[]; readonly description?: string; readonly services?: string[]; readonly fetch?: string[] }
}

const berthMembers: ReadonlySet<string> = new Set(['stages', 'description', 'services', 'fetch'])

interface Field {
  readonly path: string
  readonly optional?: true
  readonly fits: (value: unknown) => boolean
  readonly must: string
}

const text =
  (charsMax = Number.POSITIVE_INFINITY, pattern = '') =>
  (value: unknown): value is string =>
    typeof value === 'string' && value.length <= charsMax && new RegExp(pattern).test(value)
const list = (min: number, max: number, pattern: string) => (value: unknown) =>
  Array.isArray(value) &&
  value.length >= min &&
  value.length <= max &&
  new Set(value).size === value.length &&
  value.every(text(undefined, pattern))
const description = text(manifestLimits.descriptionChars)
const version = text(manifestLimits.versionChars, patterns.version)

const fields: readonly Field[] = [
  { path: 'name', fits: text(undefined, patterns.module), must: 'be lower-case letters, digits and dashes, starting with a letter' },
  { path: 'version', fits: value => version(value) && isVersion(value) !== null, must: 'be a semantic version such as 1.0.0' },
  { path: 'description', optional: true, fits: description, must: 'be text of at most 1000 characters' },
  { path: 'berth.description', optional: true, fits: description, must: 'be text of at most 1000 characters' },
  { path: 'main', optional: true, fits: text(undefined, '.'), must: 'be the path of the entry file, such as index.ts' },
  { path: 'berth', fits: isObject, must: 'be an object such as { "stages": ["rank"] }' },
  {
    path: 'berth.stages',
    fits: list(1, manifestLimits.stages, patterns.stage),
    must: 'list the exports that are stages, such as ["rank"]',
  },
  {
    path: 'berth.services',
    optional: true,
    fits: list(0, manifestLimits.services, patterns.service),
    must: 'list the base services that the module uses, such as ["features"]',
  },
  {
    path: 'berth.fetch',
    optional: true,
    fits: value => list(0, manifestLimits.hosts, patterns.host)(value) && (value as string[]).every(isHost),
    must: 'list the hosts that the module fetches from, such as ["api.example.com", "http://localhost:8080"], without a path',
  },
]

/** Whether a host can be part of a URL. The pattern alone would accept impossible ports and addresses. */
const isHost = (host: string) => URL.canParse(host.includes('://') ? host : `https://${host}`)

async function readJson(module: ModuleFolder): Promise<unknown> {
  const text = await readFile(join(module.folder, 'package.json'), 'utf8').catch(error => {
    throw invalid(
      module,
      `it cannot be read (${error.code})`,
      'Name the folder of a module: one with a package.json that has a "berth" field.',
    )
  })
  try {
    return JSON.parse(text)
  } catch (error) {
    throw invalid(module, `it is not JSON: ${messageOf(error)}`, 'Mend the file.')
  }
}

function checkField(module: ModuleFolder, contents: unknown, { path, optional, fits, must }: Field): void {
  const value = path.split('.').reduce<unknown>((parent, key) => (isObject(parent) ? parent[key] : undefined), contents)
  if (value === undefined && optional) return
  if (fits(value)) return
  const found = value === undefined ? 'is missing' : `is ${JSON.stringify(value)}`
  throw invalid(module, `"${path}" ${found}`, `"${path}" must ${must}.`)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(module: ModuleFolder, why: string, hint: string): SdkError {
  return new SdkError('PACKAGE_INVALID', `Cannot bundle "${module.shown}": ${join(module.shown, 'package.json')}: ${why}`, { hint })
}

async function findEntry(module: ModuleFolder, main: string | undefined): Promise<string> {
  const entry = main ?? 'index.ts'
  const found = await stat(join(module.folder, entry)).catch(() => undefined)
  if (found?.isFile()) return entry
  const named = main === undefined ? '' : ', which "main" in package.json names'
  throw new SdkError('ENTRY_NOT_FOUND', `Cannot bundle "${module.shown}": there is no file ${join(module.shown, entry)}${named}`, {
    hint: 'Write the stages in index.ts, or name another entry file as "main" in package.json.',
  })
}
