import { parse, parseDocument, stringify } from 'yaml'
export const input = { text: 'base: &b { a: 1 }\nitems:\n  - <<: *b\n    name: |\n      two\n      lines\n  - 2026-01-01\nbig: 0x1F\n' }
export const use = ({ text }) => [
  parse(text, { merge: true }),
  stringify({ a: ['x: y', null, 1.5], b: 'multi\nline' }),
  parseDocument('a: [1').errors.map(error => error.code),
]
