/** Reads and checks the package.json of a module. It does not use the schema library, because loading that takes longer than bundling. */
import { realpath, stat } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import isVersion from 'semver/functions/valid.js'
import { messageOf } from '../../base/kernel/errors.ts'
import { readTextFile, unreadable } from '../../base/kernel/text-file.ts'
import { manifestLimits, patterns } from '../../base/traffic/names.ts'
import type { ModuleManifest } from '../../base/traffic/schema.ts'
import { SdkError } from '../sdk-error.ts'

/** The part of a module's manifest that package.json gives; `bundle` and `sourceMap` are added when the module is published. */
export type BundleManifest = Omit<ModuleManifest, 'bundle' | 'sourceMap' | 'origin'>

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
  readonly substitutes: Substitutes
  /** Names of the packages that the module says it needs. */
  readonly dependencies: readonly string[]
}

/** What `berth` in package.json puts in the place of names. It is part of the bundle, not of the manifest. */
export interface Substitutes {
  /** JSON texts by the global, or member of a global such as `process.env`, that they replace. */
  readonly define: Readonly<Record<string, string>>
  /** Packages and files of the module, by the package that they replace. */
  readonly alias: Readonly<Record<string, string>>
  /** Exports, by the global that each replaces. */
  readonly inject: Readonly<Record<string, Export>>
}

export interface Export {
  readonly path: string
  readonly name: string
}

/** @throws SdkError PACKAGE_INVALID, ENTRY_NOT_FOUND */
export async function readPackage(module: ModuleFolder): Promise<Package> {
  const contents = (await readJson(module)) as PackageJson
  for (const field of [...fields, ...substituteFields]) checkField(module, contents, field)
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
    substitutes: substitutesOf(berth),
    dependencies: Object.keys({ ...contents.dependencies, ...contents.devDependencies }),
  }
}

function substitutesOf({ define = {}, alias = {}, inject = {} }: PackageJson['berth']): Substitutes {
  const exports = Object.entries(inject).map(([global, from]): [string, Export] => {
    const [path, name] = typeof from === 'string' ? [from, global] : from
    return [global, { path, name }]
  })
  return {
    define: Object.fromEntries(Object.entries(define).map(([name, value]) => [name, JSON.stringify(value)])),
    // A built-in is the same one with and without `node:`.
    alias: Object.fromEntries(Object.entries(alias).map(([name, path]) => [name.replace(/^node:/, ''), path])),
    inject: Object.fromEntries(exports),
  }
}

interface PackageJson {
  readonly name: string
  readonly version: string
  readonly description?: string
  readonly main?: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  /** A `description` here overrides that of the package. */
  readonly berth: {
    readonly stages: string[]
    readonly description?: string
    readonly services?: string[]
    readonly fetch?: string[]
    readonly define?: Readonly<Record<string, unknown>>
    readonly alias?: Readonly<Record<string, string>>
    readonly inject?: Readonly<Record<string, string | readonly [path: string, name: string]>>
  }
}

const berthMembers: ReadonlySet<string> = new Set(['stages', 'description', 'services', 'fetch', 'define', 'alias', 'inject'])

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

const identifier = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u
/** Words of the language, which are no names, and the names that a bundle itself uses. */
const reserved: ReadonlySet<string> = new Set(
  `arguments await break case catch class const continue debugger default delete do else enum eval export extends false finally for function if
  implements import in instanceof interface let new null package private protected public return static super switch this throw true try typeof var
  void while with yield undefined NaN Infinity require stages __berth`.split(/\s+/),
)
const isGlobal = (name: string) => identifier.test(name) && !reserved.has(name)
const isDotted = (name: string) => {
  const [first = '', ...members] = name.split('.')
  return (isGlobal(first) || /^import\.meta(\.|$)/.test(name)) && members.every(part => identifier.test(part))
}
/** Text in quotes within the quotes of JSON is what other tools expect here; taken as it is, it would put the inner quotes into the value. */
const isQuoted = (value: unknown) => typeof value === 'string' && /^(["'`]).*\1$/s.test(value)
const isPackage = (name: string) => /^(node:)?[^./:\\]([^:\\]*[^/:\\])?$/.test(name)
const isPath = (path: unknown): path is string => typeof path === 'string' && path.trim() !== ''
const isExport = (from: unknown) =>
  isPath(from) ||
  (Array.isArray(from) && from.length === 2 && isPath(from[0]) && (from[1] === 'default' || identifier.test(String(from[1]))))
const map =
  (fits: (key: string, value: unknown) => boolean) =>
  (value: unknown): boolean =>
    isObject(value) && Object.entries(value).every(([key, member]) => fits(key, member))

const substituteFields: readonly Field[] = [
  {
    path: 'berth.define',
    optional: true,
    fits: map((name, value) => isDotted(name) && !isQuoted(value)),
    must: 'give JSON values to globals or members of globals, which are no words of the language or of bundles, such as { "process.env": { "REGION": "eu" }, "DEBUG": false }; a text has one pair of quotes',
  },
  {
    path: 'berth.alias',
    optional: true,
    fits: map((name, path) => isPackage(name) && isPath(path)),
    must: 'give packages, or files of the module, to the names of the packages that they replace, such as { "crypto": "./crypto.ts" }',
  },
  {
    path: 'berth.inject',
    optional: true,
    fits: map((name, from) => isGlobal(name) && isExport(from)),
    must: 'give the package or file that exports it to each global, whose name is no word of the language or of bundles, such as { "Buffer": "buffer/" } or { "process": ["process/browser.js", "default"] }',
  },
]

/** Whether a host can be part of a URL. The pattern alone would accept impossible ports and addresses. */
const isHost = (host: string) => URL.canParse(host.includes('://') ? host : `https://${host}`)

async function readJson(module: ModuleFolder): Promise<unknown> {
  const text = await readTextFile(join(module.folder, 'package.json')).catch(error => {
    const { reason, message, hint, cause } = unreadable(error)
    if (reason === 'content') throw invalid(module, message, hint)
    const why = (cause as NodeJS.ErrnoException | undefined)?.code ?? message
    throw invalid(module, `it cannot be read (${why})`, 'Name the folder of a module: one with a package.json that has a "berth" field.')
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
