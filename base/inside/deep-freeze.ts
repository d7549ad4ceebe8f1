import { freeze, values } from './primordials.ts'

/** This does not recurse, because what comes from JSON may be nested deeper than the stack. */
export function deepFreeze(root: unknown): unknown {
  const left = [root]
  for (let value = left.pop(); left.length > 0 || value !== undefined; value = left.pop()) {
    if (typeof value !== 'object' || value === null) continue
    freeze(value)
    for (const member of values(value)) if (typeof member === 'object' && member !== null) left.push(member)
  }
  return root
}
