import events from 'events/events.js'

const { EventEmitter, once } = events
export const input = { words: ['a', 'b'] }
class Named extends EventEmitter {}
export const use = async ({ words }) => {
  const emitter = new Named()
  const seen = []
  emitter.on('w', w => seen.push(w))
  emitter.prependOnceListener('w', w => seen.push(`first ${w}`))
  const waited = once(emitter, 'w')
  for (const word of words) emitter.emit('w', word)
  try {
    emitter.emit('error', new Error('bad'))
  } catch (error) {
    return { seen, waited: await waited, message: error.message, most: emitter.getMaxListeners() }
  }
}
