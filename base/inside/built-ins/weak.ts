/** Notes on the tape that what a module does may depend on when garbage is collected. */
import { apply, construct } from '../primordials.ts'
import { TapeMark } from '../protocol.ts'
import { hasTape, mark } from '../readings.ts'
import { classShownAs } from './stand-ins.ts'

/** Where there is a tape, gives a class in the place of a native one that notes when an instance is made. */
export function watched<T extends WeakRefConstructor | FinalizationRegistryConstructor>(Native: T): T {
  if (!hasTape) return Native
  return classShownAs(Native, function (...values: unknown[]): unknown {
    // The native class says that it takes `new`.
    if (new.target === undefined) return apply(Native as unknown as () => unknown, undefined, values)
    mark(TapeMark.weakReferences)
    return construct(Native, values, new.target)
  })
}
