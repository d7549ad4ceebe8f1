/** Checks unknown values against TypeBox schemas, and describes in words what does not fit. */
import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import type { TLocalizedValidationError } from 'typebox/error'
import { Value } from 'typebox/value'

/** Returns a copy of a value with the schema's defaults filled in, or a list of what is wrong with it, one line for each fault. */
export type Checker<T> = (
  value: unknown,
) => { readonly value: T; readonly faults?: never } | { readonly value?: never; readonly faults: readonly string[] }

/** Compiles a schema once; the checker never changes what it is given. */
export function compileCheck<S extends TSchema>(schema: S): Checker<Static<S>> {
  const compiled = Compile(schema)
  return value => {
    const filled = Value.Default(schema, Value.Clone(value))
    if (compiled.Check(filled)) return { value: filled as Static<S> }
    return { faults: describeFaults(compiled.Errors(filled)) }
  }
}

const FAULTS_MAX = 10

function describeFaults(errors: readonly TLocalizedValidationError[]): string[] {
  // An unknown member is reported twice: by its parent, which names it, and by itself as "boolean", which adds nothing.
  const allowed = new Map<string, string[]>()
  for (const { keyword, instancePath, params } of errors) {
    if (keyword === 'const') allowed.set(instancePath, [...(allowed.get(instancePath) ?? []), JSON.stringify(params.allowedValue)])
  }
  const faults = errors
    .filter(({ keyword, instancePath }) => keyword !== 'boolean' && !(keyword === 'anyOf' && allowed.has(instancePath)))
    .map(error => describeFault(error, allowed.get(error.instancePath)))
  const distinct = [...new Set(faults)]
  return distinct.length > FAULTS_MAX ? [...distinct.slice(0, FAULTS_MAX), `and ${distinct.length - FAULTS_MAX} more`] : distinct
}

/** @param allowed the single values that would do in its place */
function describeFault(error: TLocalizedValidationError, allowed: readonly string[] = []): string {
  const where = error.instancePath === '' ? 'it' : error.instancePath
  const params = error.params as Readonly<Record<string, unknown>>
  if (error.keyword === 'const') return `${where} must be ${allowed.join(' or ')}`
  if (error.keyword === 'additionalProperties') return `${where} has unknown members: ${listed(params.additionalProperties)}`
  if (error.keyword === 'required') return `${where} lacks ${listed(params.requiredProperties)}`
  return `${where} ${error.message}`
}

const listed = (names: unknown): string => [names].flat().join(', ')
