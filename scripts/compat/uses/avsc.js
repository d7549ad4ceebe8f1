import avro from 'avsc'

const type = avro.Type.forSchema({
  type: 'record',
  name: 'Event',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'score', type: ['null', 'double'], default: null },
    { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['VIEW', 'CLICK'] } },
  ],
})
export const input = { event: { id: 'é1', score: 0.5, kind: 'CLICK' } }
export const use = ({ event }) => {
  const buffer = type.toBuffer(event)
  return {
    hex: buffer.toString('hex'),
    back: type.fromBuffer(buffer),
    valid: type.isValid({ id: 1 }),
    inferred: avro.Type.forValue({ a: [1.5], b: 'x' }).schema(),
  }
}
