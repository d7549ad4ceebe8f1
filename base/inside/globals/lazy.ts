/** Globals that few modules use: their code is compiled when one of them is first looked at. */
import { defineGlobal } from '../built-ins/on-use.ts'
import { makeFast, protect } from '../built-ins/protect.ts'
import { send } from '../calls/fetch-calls.ts'
import { cryptoSeed } from '../chance.ts'
import { sinceStart } from '../clock.ts'
import { partText } from '../host.ts'
import type { SchemaCheck } from '../lazy/schema-check.ts'
import type { PartTools } from '../lazy/tools.ts'
import { entries, freeze, getPrototypeOf, isExtensible, values } from '../primordials.ts'
import type { LazyPart } from '../protocol.ts'
import { report } from './console.ts'
import { openTimer } from './timers.ts'

const globalsOf: Readonly<Record<LazyPart, readonly string[]>> = {
  clone: ['structuredClone'],
  encodings: [],
  events: ['AbortController', 'AbortSignal', 'CustomEvent', 'DOMException', 'Event', 'EventTarget', 'WorkerGlobalScope'],
  fetch: ['Headers', 'Request', 'Response'],
  multibyte: [],
  random: ['crypto'],
  'schema-check': [],
  text: ['TextDecoder', 'TextEncoder', 'atob', 'btoa'],
  url: ['URL', 'URLSearchParams'],
}

const tools: PartTools = {
  use: name => (globalThis as Record<string, unknown>)[name],
  load,
  cryptoSeed,
  fetch: send,
  sinceStart,
  setTimeout: (run, delayMs) => openTimer('setTimeout', run, delayMs, [], false),
  report,
}

// biome-ignore lint/security/noGlobalEval: the text is the cell's own, and eval is the one way to compile it from in here.
const evaluate = eval
const loaded = new Map<LazyPart, Readonly<Record<string, unknown>>>()

export function defineLazyGlobals(): void {
  for (const [part, names] of entries(globalsOf)) {
    for (const name of names) defineGlobal(name, () => load(part as LazyPart)[name])
  }
}

function load(part: LazyPart): Readonly<Record<string, unknown>> {
  const before = loaded.get(part)
  if (before !== undefined) return before
  // core-js looks whether the globals that it defines exist already. That must not load the part a second time.
  loaded.set(part, {})
  const define = evaluate(partText(part)) as (tools: PartTools) => Record<string, unknown>
  const defined = define(tools)
  for (const value of values(defined)) protectDeep(value)
  makeFast()
  loaded.set(part, freeze(defined))
  return defined
}

/** Protects a value together with the classes that it extends. */
function protectDeep(value: unknown): void {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null || !isExtensible(value)) return
  const { prototype } = value as { prototype?: object }
  if (prototype !== undefined) protect(prototype)
  protect(value)
  protectDeep(getPrototypeOf(value))
}

/** @param json of a schema that `traffic/json-schema.ts` has checked */
export function compileSchema(json: string): SchemaCheck {
  return (load('schema-check').compileSchema as typeof compileSchema)(json)
}

/** @param owner the request that fetches; undefined for the global `fetch`, which cannot say */
export function fetchFor(owner: unknown, input: unknown, init: unknown): Promise<unknown> {
  return (load('fetch').fetchFor as typeof fetchFor)(owner, input, init)
}
