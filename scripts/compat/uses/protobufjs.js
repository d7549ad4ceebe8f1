import protobuf from 'protobufjs'

const proto =
  'syntax = "proto3"; package shop; message Item { string id = 1; repeated float scores = 2; uint64 at = 3; map<string, int32> tags = 4; }'
const Item = protobuf.parse(proto).root.lookupType('shop.Item')
export const input = { item: { id: 'a1', scores: [0.5, 0.25], at: '9007199254740993', tags: { x: 1 } } }
export const use = ({ item }) => {
  const bytes = Item.encode(Item.fromObject(item)).finish()
  return {
    hex: [...bytes].map(b => b.toString(16)).join(' '),
    back: Item.toObject(Item.decode(bytes), { longs: String }),
    wrong: Item.verify({ id: 3 }),
  }
}
