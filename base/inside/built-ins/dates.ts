/**
 * `Date` and the formats of `Intl`, which in V8 read the clock of the machine when they are given no date. Here they show the time of `clock.ts`. Nothing
 * else in V8 tells the time, now that `Temporal` is gone: the test of this file looks through all built-ins.
 */
import { readWallTime } from '../clock.ts'
import { apply, defineProperty, getOwnPropertyDescriptor, setPrototypeOf } from '../primordials.ts'
import { classShownAs, shownAs } from './stand-ins.ts'

/** Runs before `Date` is protected, and before any module gets hold of it. */
export function dateOf(Native: DateConstructor): DateConstructor {
  const { toString: textOf } = Native.prototype
  function DateOfSlot(...values: [] | [value: number]): unknown {
    if (new.target === undefined) return apply(textOf, new Native(readWallTime()), [])
    const date = values.length === 0 ? new Native(readWallTime()) : new Native(...values)
    if (new.target === DateOfSlot) return date
    // Of a subclass. `Reflect.construct` would take three times as long.
    const { prototype }: { readonly prototype: unknown } = new.target
    if (typeof prototype === 'object' && prototype !== null) setPrototypeOf(date, prototype)
    return date
  }
  const date = classShownAs(Native, DateOfSlot)
  defineProperty(date, 'now', { value: readWallTime })
  return date
}

type Format = (date?: unknown) => unknown

/** Runs before `Intl` is protected, and before any module gets hold of it. */
export function replaceFormats({ DateTimeFormat: { prototype } }: typeof Intl): void {
  const { get: nativeFormat } = getOwnPropertyDescriptor(prototype, 'format') as { get: () => Format }
  const nativeParts: Format = prototype.formatToParts as Format
  /** An object gives the same function at each reading of its property. */
  const formats = new WeakMap<Format, Format>()
  const own = {
    get format(): Format {
      const native = apply(nativeFormat, this, []) as Format
      const known = formats.get(native)
      if (known !== undefined) return known
      const format = shownAs(native, orNow(native))
      formats.set(native, format)
      return format
    },
    formatToParts(date: unknown): unknown {
      return apply(nativeParts, this, [date === undefined ? readWallTime() : date])
    },
  }
  defineProperty(prototype, 'format', { get: getOwnPropertyDescriptor(own, 'format')?.get as () => unknown })
  defineProperty(prototype, 'formatToParts', { value: own.formatToParts })
}

const orNow = (format: Format) => (date: unknown) => format(date === undefined ? readWallTime() : date)
