import EventEmitter from 'eventemitter3'
export const input = { words: ['a', 'b'] }
export const use = ({ words }) => {
  const emitter = new EventEmitter()
  const seen = []
  emitter.on(
    'w',
    function (w) {
      seen.push([w, this.tag])
    },
    { tag: 't' },
  )
  emitter.once('w', w => seen.push(w))
  for (const word of words) emitter.emit('w', word)
  return { seen, names: emitter.eventNames(), count: emitter.listenerCount('w') }
}
