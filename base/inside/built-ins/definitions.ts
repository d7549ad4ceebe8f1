/**
 * Functions that show built-ins as Node.js has them. The accessors that stand for what heirs may have assigned look like the plain properties that
 * they replace, since packages copy or wrap the value of a descriptor. A definition that changes nothing succeeds, and one that is refused says
 * which built-in it was for.
 */
import { defineProperty, getOwnPropertyDescriptor, is, ownKeys } from '../primordials.ts'
import { isOpen } from './open.ts'
import { guarded } from './protect.ts'
import { madeGlobals, nameOf, refusal } from './refusals.ts'
import { shownAs } from './stand-ins.ts'

const { defineProperty: reflectDefine, getOwnPropertyDescriptor: reflectDescribe } = Reflect
const { defineProperties, getOwnPropertyDescriptors } = Object

/** Runs before the built-ins are protected. */
export function replaceDefinitions(): void {
  replace(Object, 'defineProperty', define)
  replace(Object, 'defineProperties', defineAll)
  replace(Object, 'getOwnPropertyDescriptor', (object: object, key: PropertyKey) =>
    shown(object, key, getOwnPropertyDescriptor(object, key)),
  )
  replace(Object, 'getOwnPropertyDescriptors', describeAll)
  replace(Reflect, 'defineProperty', tryToDefine)
  replace(Reflect, 'getOwnPropertyDescriptor', (object: object, key: PropertyKey) => shown(object, key, reflectDescribe(object, key)))
}

function replace<T extends object>(owner: T, name: keyof T & string, by: (...values: never[]) => unknown): void {
  defineProperty(owner, name, { value: shownAs(owner[name] as () => unknown, by) })
}

function define<T extends object>(object: T, key: PropertyKey, descriptor: PropertyDescriptor): T {
  try {
    return defineProperty(object, key, descriptor)
  } catch (error) {
    if (keepsOriginal(object, key, descriptor)) return object
    throw isBuiltIn(object) ? refusal(object, key) : error
  }
}

function defineAll<T extends object>(object: T, descriptors: Record<PropertyKey, PropertyDescriptor>): T {
  try {
    return defineProperties(object, descriptors)
  } catch (error) {
    if (!isBuiltIn(object)) throw error
    for (const key of ownKeys(descriptors)) define(object, key, descriptors[key] as PropertyDescriptor)
    return object
  }
}

function tryToDefine(object: object, key: PropertyKey, descriptor: PropertyDescriptor): boolean {
  return reflectDefine(object, key, descriptor) || keepsOriginal(object, key, descriptor)
}

/** It must not look into any other object: a proxy would notice. */
const isBuiltIn = (object: object): boolean => guarded.has(object) || nameOf(object) !== undefined

function keepsOriginal(object: object, key: PropertyKey, descriptor: PropertyDescriptor): boolean {
  if (!isBuiltIn(object)) return false
  const original = originalOf(object, key, getOwnPropertyDescriptor(object, key))
  return original !== undefined && 'value' in descriptor && is(original.value, descriptor.value)
}

/** The value of a property of a built-in that stands behind an accessor or was left open, or of a global. */
function originalOf(object: object, key: PropertyKey, descriptor: PropertyDescriptor | undefined): { readonly value: unknown } | undefined {
  if (descriptor === undefined) return undefined
  const { get } = descriptor
  if (get === undefined) return isOpen(object, key) ? { value: descriptor.value } : undefined
  if (madeGlobals.has(get)) return { value: madeGlobals.get(get) }
  // Other accessors of built-ins have other names.
  return guarded.has(object) && get.name === 'standIn' ? { value: get() } : undefined
}

function shown(object: object, key: PropertyKey, descriptor: PropertyDescriptor | undefined): PropertyDescriptor | undefined {
  const original = originalOf(object, key, descriptor)
  if (original === undefined) return descriptor
  return { value: original.value, writable: true, enumerable: descriptor?.enumerable === true, configurable: true }
}

function describeAll(object: object): Record<PropertyKey, PropertyDescriptor> {
  const all = getOwnPropertyDescriptors(object) as Record<PropertyKey, PropertyDescriptor>
  for (const key of ownKeys(all)) all[key] = shown(object, key, all[key]) as PropertyDescriptor
  return all
}
