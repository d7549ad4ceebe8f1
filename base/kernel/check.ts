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
  const faults = errors.filter(error => error.keyword !== 'boolean').map(describeFault)
  const distinct = [...new Set(faults)]
  return distinct.length > FAULTS_MAX ? [...distinct.slice(0, FAULTS_MAX), `and ${distinct.length - FAULTS_MAX} more`] : distinct
}

function describeFault(error: TLocalizedValidationError): string {
  const where = error.instancePath === '' ? 'it' : error.instancePath
  const params = error.params as Readonly<Record<string, unknown>>
  if (error.keyword === 'additionalProperties') return `${where} has unknown members: ${String(params.additionalProperties)}`
  if (error.keyword === 'required') return `${where} lacks ${String(params.requiredProperties)}`
  return `${where} ${error.message}`
}
