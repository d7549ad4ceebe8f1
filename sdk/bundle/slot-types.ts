/**
 * What the types of a module are checked against: the language as slots have it, the globals of a slot, and what its package.json says. Types of
 * Node.js or of browsers that are installed where the module is do not count, because code that uses them would fail at a request.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import type { Package } from './manifest.ts'

/**
 * The file with the types of an entry of `@berth/sdk`, as its package.json says: a source in a clone, a declaration in the package.
 * @param from a file; the package is looked for from there
 * @param entry such as `.` or `./globals`
 * @returns undefined when the package is not installed there
 */
export function sdkTypes(from: string, entry: string): string | undefined {
  try {
    const manifest = createRequire(from).resolve('@berth/sdk/package.json')
    const { exports } = JSON.parse(readFileSync(manifest, 'utf8')) as { exports: Record<string, string | { types: string }> }
    const target = exports[entry]
    return target === undefined ? undefined : join(dirname(manifest), typeof target === 'string' ? target : target.types)
  } catch {
    // It is not installed there, and the caller looks elsewhere.
    return undefined
  }
}

/** The declarations that a slot has in the place of others. */
export interface SlotTypes {
  /** The file with its globals. */
  readonly globals: string
  /** Where the compiler looks first for packages that types refer to. What is here stands for a package of the same name. */
  readonly typeRoot: string
}

export function slotTypes(): SlotTypes {
  const globals = sdkTypes(import.meta.filename, './globals')
  if (globals === undefined) throw new Error('Cannot check types: the package of the sdk lacks the globals of slots')
  return { globals, typeRoot: join(dirname(globals), 'types') }
}

/** Parts of the language that a slot does not have; see docs/globals.md. */
const MISSING_PART = /sharedmemory|temporal|es2024\.arraybuffer/

/**
 * The parts of the newest language that a slot has, as names for the option `lib`.
 * @param folder where the compiler has its declarations of the language
 */
export function languageParts(folder: string): string[] {
  const parts = new Set<string>()
  const add = (name: string) => {
    const path = join(folder, `lib.${name}.d.ts`)
    if (!existsSync(path)) return
    const references = [...readFileSync(path, 'utf8').matchAll(/^\/\/\/ <reference lib="([^"]+)"/gm)].map(([, part = '']) => part)
    const isCollection = name === 'esnext' || /^es20\d\d$/.test(name)
    if (isCollection) for (const part of references) add(part)
    else if (![name, ...references].some(part => MISSING_PART.test(part))) parts.add(name)
  }
  add('esnext')
  return parts.size === 0 ? ['esnext'] : [...parts]
}

/**
 * Declarations of what package.json gives a module: the services that it lists, and the globals of `define` and `inject`.
 * @param folder of the module, absolute
 * @param author path of the file with the types that modules are written against
 */
export function declarationsOf({ manifest, substitutes }: Package, folder: string, author: string): string {
  const services = (manifest.services ?? []).map(name => JSON.stringify(name)).join(' | ') || 'never'
  const injected = Object.entries(substitutes.inject).flatMap(([global, { path, name }]) => {
    const from = `import(${JSON.stringify(path.startsWith('.') ? resolve(folder, path) : path)}).${name}`
    return [`var ${global}: typeof ${from}`, `type ${global} = ${from}`]
  })
  const defined = Object.entries(definedValues(substitutes.define)).flatMap(([global, value]) => {
    if (Object.hasOwn(substitutes.inject, global)) return []
    return global === 'import' ? [`interface ImportMeta ${typeOf(Object(value).meta)}`] : [`var ${global}: ${typeOf(value)}`]
  })
  return [
    'export {}',
    `declare module ${JSON.stringify(author)} { interface Manifest { readonly services: ${services} } }`,
    `declare global {\n${[...injected, ...defined].join('\n')}\n}`,
  ].join('\n')
}

type Members = Record<string, unknown>

/** The values of `define` by their globals: `process.env.REGION` becomes a member of a member of `process`. */
function definedValues(define: Readonly<Record<string, string>>): Members {
  const values: Members = {}
  // What is defined for a member is put into what is defined for the whole, so that comes first.
  for (const [path, json] of Object.entries(define).sort(([a], [b]) => a.length - b.length)) {
    const names = path.split('.')
    const last = names.pop() ?? ''
    const parent = names.reduce((members: Members, name) => {
      const inner = isObject(members[name]) ? members[name] : {}
      members[name] = inner
      return inner
    }, values)
    parent[last] = JSON.parse(json)
  }
  return values
}

/** The type of a JSON value, in which another value of the same kind fits as well. */
function typeOf(value: unknown): string {
  if (Array.isArray(value)) return `(${[...new Set(value.map(typeOf))].join(' | ') || 'never'})[]`
  if (!isObject(value)) return value === null ? 'null' : typeof value
  const members = Object.entries(value).map(([name, member]) => `readonly ${JSON.stringify(name)}: ${typeOf(member)}`)
  return `{ ${members.join('; ')} }`
}

const isObject = (value: unknown): value is Members => typeof value === 'object' && value !== null && !Array.isArray(value)
