import { deepFreeze } from '../deep-freeze.ts'
import { limits } from '../host.ts'
import { freeze, parse } from '../primordials.ts'

let lastText = '{}'
let lastParams: unknown = freeze({})
/** Params by their text. Experiments give requests a few combinations in turn. */
const known = new Map<string, unknown>()

/** The params of a request, frozen. Requests with the same text share them. */
export function paramsOf(json: string): unknown {
  if (json === lastText) return lastParams
  lastParams = known.get(json)
  if (lastParams === undefined) {
    if (known.size >= limits.paramsKept) known.clear()
    lastParams = deepFreeze(parse(json))
    known.set(json, lastParams)
  }
  lastText = json
  return lastParams
}
