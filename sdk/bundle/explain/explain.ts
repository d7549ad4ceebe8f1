/** Explains the errors of esbuild to the author of a module: what is wrong, where, and what to do. */
import { isBuiltin } from 'node:module'
import { join } from 'node:path'
import { formatMessages, type Message } from 'esbuild'
import { type SdkCode, SdkError } from '../../sdk-error.ts'
import { dependencyOf, INJECT, textBefore } from '../inputs.ts'
import type { ModuleFolder, Package } from '../manifest.ts'
import { explainBuiltin } from './builtin-import.ts'
import { explainMissing, missingImport } from './missing-import.ts'

export interface Finding {
  readonly code: SdkCode
  readonly text: string
  readonly hint: string
}

/** How many causes have their code frame in an error. The first is what to mend; more hide it. */
const FRAMES_SHOWN = 3

/** One error for all messages of esbuild, with the code and the hint of the first. */
export async function explain(module: ModuleFolder, contents: Package, messages: readonly Message[]): Promise<SdkError> {
  const findings = await Promise.all(messages.map(async message => ({ message, ...(await classify(module, contents, message)) })))
  const [first] = findings
  const { code, text, hint } = first ?? { code: 'COMPILE_FAILED' as const, text: 'esbuild failed without a message', hint: '' }
  const more = messages.length > 1 ? ` (and ${messages.length - 1} more)` : ''
  const causes = [...Map.groupBy(findings, finding => finding.text).values()].flatMap(([each]) => each ?? [])
  const shown = causes.slice(0, FRAMES_SHOWN)
  const details = await frames(
    module,
    'error',
    shown.map(({ message, text }) => ({ ...message, text, notes: [], location: isInFile(message) ? message.location : null })),
  )
  return new SdkError(code, `Cannot bundle "${module.shown}": ${where(module, first?.message)}${text}${more}`, {
    hint,
    details: [...details, ...restOf(messages, shown.length)].join('\n'),
  })
}

/** Whether the place of a message is in a file, and not in a text that the bundler has made. */
function isInFile({ location }: Message): boolean {
  return !location?.file.startsWith(`${INJECT}:`)
}

function restOf(messages: readonly Message[], shown: number): string[] {
  if (messages.length <= shown) return []
  const files = new Set(messages.map(({ location }) => location?.file)).size
  return [`… and ${messages.length - shown} more, in ${files} ${files === 1 ? 'file' : 'files'} in all`]
}

function where(module: ModuleFolder, message: Message | undefined): string {
  const location = message !== undefined && isInFile(message) ? message.location : null
  return location ? `${join(module.shown, location.file)}:${location.line}:${textBefore(location).length + 1}: ` : ''
}

/** What esbuild says in words that only its own users know. */
const plainly: Readonly<Record<string, string>> = {
  'empty-import-meta': '"import.meta" is an empty object where modules run, because a bundle has no address and no folder',
}

/** Each message as text with its code frame, at most 120 characters wide. */
export async function frames(module: ModuleFolder, kind: 'error' | 'warning', messages: readonly Message[]): Promise<string[]> {
  const shown = messages.map(({ location, ...message }) => ({
    ...message,
    text: plainly[message.id] ?? message.text,
    location: location ? { ...location, file: join(module.shown, location.file) } : null,
  }))
  const formatted = await formatMessages(shown, { kind, color: module.color, terminalWidth: 120 })
  return formatted.map(text => text.trimEnd())
}

async function classify(module: ModuleFolder, contents: Package, message: Message): Promise<Finding> {
  const { text, id, location } = message
  const file = location?.file ?? ''
  if (file.startsWith(`${INJECT}:`)) return explainInjection(file.slice(INJECT.length + 1), contents, text)
  const missing = missingImport(message)
  const original = /\(originally "(.+)"\)$/.exec(text)?.[1]
  if (original !== undefined) {
    const named = `cannot find "${missing}", which "alias" under "berth" in package.json names for "${original}"`
    return { code: 'COMPILE_FAILED', text: named, hint: 'Install that package, or check the path; it starts at the folder of the module.' }
  }
  if (missing !== undefined && isBuiltin(missing)) return { code: 'BUILTIN_IMPORTED', ...explainBuiltin(missing) }
  if (missing !== undefined) return { code: 'COMPILE_FAILED', ...(await explainMissing(module, contents, missing, file)) }
  const dependency = dependencyOf(file)
  return classifyOther(text, id, dependency === undefined ? 'the module' : `the dependency "${dependency}"`)
}

function explainInjection(global: string, { substitutes }: Package, text: string): Finding {
  const { path, name } = substitutes.inject[global] ?? {}
  const what = text.startsWith('Could not resolve') ? `cannot find "${path}"` : `"${path}" does not export "${name}"`
  return {
    code: 'COMPILE_FAILED',
    text: `${what}, which "inject" under "berth" in package.json names for the global "${global}"`,
    hint: 'Install that package, or check the path, which starts at the folder of the module; { "x": ["path", "default"] } names another export than x.',
  }
}

function classifyOther(text: string, id: string, who: string): Finding {
  if (text.startsWith('Top-level await')) {
    return {
      code: 'MODULE_LOAD_AWAITS',
      text: `${who} awaits at its top level, and a module is loaded in one synchronous step`,
      hint:
        who === 'the module'
          ? 'Await inside a stage function; keep a promise in a variable of the module to do the work once.'
          : `Use another version or build of it, or name a package that replaces it in "alias" under "berth" in package.json.`,
    }
  }
  if (id === 'unsupported-dynamic-import' || id === 'unsupported-require-call') {
    const what = id === 'unsupported-dynamic-import' ? 'import()' : 'require()'
    return {
      code: 'IMPORT_DYNAMIC',
      text: `${what} of a path that is only known while it runs, and a slot has no files to load it from`,
      hint: 'Import every candidate by its literal path and choose among them at run time.',
    }
  }
  if (text.startsWith('No matching export in')) {
    return { code: 'COMPILE_FAILED', text, hint: 'Export it there, or check its name; if it is a type, write "import type".' }
  }
  const extension = /^No loader is configured for "(.+?)" files/.exec(text)?.[1]
  if (extension !== undefined) return { code: 'COMPILE_FAILED', ...explainExtension(extension, who) }
  const hint =
    who === 'the module'
      ? 'Mend the code at the place that the message names.'
      : `The fault is in ${who}: use another version or build of it.`
  return { code: 'COMPILE_FAILED', text, hint }
}

function explainExtension(extension: string, who: string): { readonly text: string; readonly hint: string } {
  if (extension === '.wasm') {
    return {
      text: `${who} imports WebAssembly, which does not exist where modules run, because no limit covers its memory`,
      hint: 'Use a build of the package in JavaScript, which is often named asm.js or "fallback".',
    }
  }
  return {
    text: `${who} imports a ${extension} file, which is neither code nor JSON nor text`,
    hint: `If it is text, import it with { type: 'text' }; else turn it into JSON or TypeScript.`,
  }
}
