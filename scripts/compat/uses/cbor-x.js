import { decode, Encoder, encode } from 'cbor-x'
export const input = { value: { id: 7, tags: ['a', 'é', '日本'], nested: { x: 1.5, y: null }, big: 2 ** 40 } }
export const use = ({ value }) => {
  const bytes = encode(value)
  const encoder = new Encoder({ useRecords: false, mapsAsObjects: true })
  return {
    hex: [...bytes].map(b => b.toString(16)).join(''),
    back: decode(bytes),
    again: encoder.decode(encoder.encode({ at: new Date(1e12), b: new Uint8Array([1, 2]) })).at.toISOString(),
  }
}
