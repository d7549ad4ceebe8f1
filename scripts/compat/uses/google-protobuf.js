import jspb from 'google-protobuf'
import structs from 'google-protobuf/google/protobuf/struct_pb.js'
import stamps from 'google-protobuf/google/protobuf/timestamp_pb.js'
export const input = { value: { a: [1, 'x', true, null], b: { c: 2 } }, at: 1700000000123 }
export const use = ({ value, at }) => {
  const stamp = new stamps.Timestamp()
  stamp.fromDate(new Date(at))
  const struct = structs.Struct.fromJavaScript(value)
  const bytes = struct.serializeBinary()
  const writer = new jspb.BinaryWriter()
  writer.writeString(1, 'héllo')
  return {
    stamp: stamp.toObject(),
    bytes: bytes.length,
    back: structs.Struct.deserializeBinary(bytes).toJavaScript(),
    base64: writer.getResultBase64String(),
    date: stamp.toDate().toISOString(),
  }
}
