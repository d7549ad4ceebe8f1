import { NIL, parse, stringify, v3, v4, v5, v7, validate, version } from 'uuid'
export const input = { name: 'berth' }
export const use = ({ name }) => [
  v5(name, v5.URL),
  v3(name, v3.DNS),
  validate(v4()),
  version(v7()),
  stringify(parse(v5(name, NIL))),
  v4({ random: new Uint8Array(16).fill(7) }),
  v7({ msecs: 1e12, seq: 1, random: new Uint8Array(16).fill(9) }),
]
