import { Builder, ByteBuffer } from 'flatbuffers'
export const input = { name: 'Größe', scores: [1, 2, 3] }
export const use = ({ name, scores }) => {
  const builder = new Builder(64)
  const text = builder.createString(name)
  builder.startVector(4, scores.length, 4)
  for (const score of scores.toReversed()) builder.addInt32(score)
  const vector = builder.endVector()
  builder.startObject(2)
  builder.addFieldOffset(0, text, 0)
  builder.addFieldOffset(1, vector, 0)
  builder.finish(builder.endObject())
  const buffer = new ByteBuffer(builder.asUint8Array())
  const table = buffer.readInt32(buffer.position()) + buffer.position()
  const field = slot => table + buffer.__offset(table, slot)
  return { bytes: [...builder.asUint8Array()], name: buffer.__string(field(4)), length: buffer.__vector_len(field(6)) }
}
