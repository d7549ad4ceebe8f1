import { customAlphabet, customRandom, nanoid } from 'nanoid'
export const input = { alphabet: 'abc' }
export const use = ({ alphabet }) => [
  nanoid().length,
  new Set([nanoid(), nanoid()]).size,
  customAlphabet(alphabet, 8)().replace(/[abc]/g, ''),
  customRandom(alphabet, 6, size => new Uint8Array(size).fill(5))(),
]
