import { decode, decodeMulti, ExtensionCodec, encode } from '@msgpack/msgpack'
export const input = { value: { id: 7, tags: ['a', 'é', '日本'], nested: { x: 1.5, y: null }, big: 2 ** 40 } }
export const use = ({ value }) => {
  const bytes = encode(value)
  const codec = new ExtensionCodec()
  codec.register({ type: 0, encode: v => (v instanceof Set ? encode([...v]) : null), decode: data => new Set(decode(data)) })
  return {
    hex: [...bytes].map(b => b.toString(16)).join(''),
    back: decode(bytes),
    set: [...decode(encode(new Set([1, 2]), { extensionCodec: codec }), { extensionCodec: codec })],
    many: [...decodeMulti(new Uint8Array([1, 2, 3]))],
    at: decode(encode(new Date(1e12))).toISOString(),
  }
}
