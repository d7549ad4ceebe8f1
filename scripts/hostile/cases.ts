/** Every hostile module, by family. */
import { casesOf, type Family, type NamedCase } from './case.ts'
import { answers } from './cases/answers.ts'
import { contexts } from './cases/contexts.ts'
import { escapes } from './cases/escapes.ts'
import { floods } from './cases/floods.ts'
import { loading } from './cases/loading.ts'
import { loops } from './cases/loops.ts'
import { memory } from './cases/memory.ts'
import { tampering } from './cases/tampering.ts'

export const families: readonly Family[] = [answers, tampering, escapes, contexts, loops, memory, floods, loading]
export const cases: readonly NamedCase[] = families.flatMap(casesOf)
