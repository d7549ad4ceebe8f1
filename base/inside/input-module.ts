/**
 * The module that a rehearsal adds to those of a slot: its stage returns what a test has set aside for a request. This is a script of its own, which runs once
 * per isolate.
 */
import type { InputModule } from './protocol.ts'

const { parse } = JSON
const inputs = new Map<string, string>()

export default {
  putInput: (requestId, json) => void inputs.set(requestId, json),
  module: {
    input: (_, { requestId }) => {
      const json = inputs.get(requestId) ?? 'null'
      inputs.delete(requestId)
      return parse(json)
    },
  },
} satisfies InputModule
