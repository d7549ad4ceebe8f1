import { Packr, pack, unpack } from 'msgpackr'
export const input = { value: { id: 7, tags: ['a', 'é', '日本'], nested: { x: 1.5, y: null }, big: 2 ** 40 } }
export const use = ({ value }) => {
  const bytes = pack(value)
  const packr = new Packr({ structuredClone: true })
  return {
    hex: [...bytes].map(b => b.toString(16)).join(''),
    back: unpack(bytes),
    date: packr.unpack(packr.pack({ at: new Date(1e12), set: new Set([1]) })).at.toISOString(),
  }
}
