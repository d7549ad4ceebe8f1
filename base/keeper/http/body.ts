/** How requests of the control API are read and checked. This is stricter than JSON.parse: what is ambiguous is refused, not guessed. */
import { isUtf8 } from 'node:buffer'
import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { compileCheck } from '../../kernel/check.ts'
import { BerthError, messageOf } from '../../kernel/errors.ts'
import { checkNumbers } from '../../kernel/exact-json.ts'
import { limits } from '../../kernel/limits.ts'
import { bomLength, describeFault } from '../../kernel/text-file.ts'

/** Names by which a parsed object could reach a prototype when it is copied without care. */
const poisonous: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])

/** In valid JSON, a string that a colon follows is a name; of everything else only the brackets matter. */
const token = /("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|[{}[\]]/g

/**
 * @returns the value; undefined for an empty body.
 * @throws BODY_MALFORMED when it is not JSON in UTF-8; REQUEST_INVALID when it repeats a name, has one that is poisonous, or is nested too
 * deeply, or a number that would be rounded to a whole number.
 */
export function parseStrictJson(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined
  const text = parseText(bytes)
  const value = parse(text)
  checkStructure(text)
  try {
    checkNumbers(text, 'passed')
  } catch (error) {
    throw refuse(messageOf(error))
  }
  return value
}

/** A byte order mark is left out. @throws BODY_MALFORMED when it is not UTF-8, with the place */
export function parseText(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8', bomLength(bytes))
  throw new BerthError('BODY_MALFORMED', `Cannot read the body: ${describeFault(bytes)}`)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new BerthError('BODY_MALFORMED', `Cannot read the body: ${messageOf(error)}`)
  }
}

function checkStructure(text: string): void {
  const open: Set<string>[] = []
  for (const [bracket, string, colon] of text.matchAll(token)) {
    if (bracket === '{' || bracket === '[') {
      if (open.push(new Set()) > limits.control.bodyDepthMax) throw refuse(`it is nested over ${limits.control.bodyDepthMax} levels deep`)
    } else if (bracket === '}' || bracket === ']') open.pop()
    else if (string !== undefined && colon !== undefined) checkName(JSON.parse(string), open.at(-1))
  }
}

function checkName(name: string, seen: Set<string> | undefined): void {
  if (poisonous.has(name)) throw refuse(`it has a member named "${name}"`)
  if (seen?.has(name)) throw refuse(`it has the member "${name}" twice in one object`)
  seen?.add(name)
}

const refuse = (why: string): BerthError => new BerthError('REQUEST_INVALID', `Cannot take the body: ${why}`)

const partNames: Readonly<Record<string, string>> = { params: 'path', querystring: 'query', headers: 'headers' }

/** A whole number as JavaScript writes it, and a boolean. Any other text that could be read as one, such as `01`, ` 1` or `1e0`, stays a text and is refused. */
const canonical: Readonly<Record<string, RegExp>> = { integer: /^(?:0|-?[1-9]\d{0,15})$/, boolean: /^(?:true|false)$/ }

/** All parts of a request but the body arrive as texts, whatever type they have: the members that the schema gives another type, with that type. */
function withTypes(schema: TSchema, given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { properties = {} } = schema as { readonly properties?: Readonly<Record<string, { readonly type?: string }>> }
  const typed = (name: string, text: unknown): unknown =>
    typeof text === 'string' && canonical[properties[name]?.type ?? '']?.test(text) ? JSON.parse(text) : text
  return Object.fromEntries(Object.entries(given).map(([name, text]) => [name, typed(name, text)]))
}

/** Compiles the schema of a part of a request to a check that fills in defaults, and answers REQUEST_INVALID in words. */
export const compilePart: FastifySchemaCompiler<TSchema> = ({ schema, httpPart = 'body' }) => {
  const check = compileCheck(schema)
  return (given: unknown) => {
    const { value, faults } = check(httpPart === 'body' ? given : withTypes(schema, Object(given)))
    if (faults === undefined) return { value }
    const what = partNames[httpPart] ?? 'body'
    return { error: new BerthError('REQUEST_INVALID', `Cannot take the ${what} of the request: ${faults.join('; ')}`) }
  }
}

/** For routes that check the body themselves. Its schema serves only the documentation. */
export const compileAllButBody: FastifySchemaCompiler<TSchema> = route => (route.httpPart === 'body' ? () => true : compilePart(route))
