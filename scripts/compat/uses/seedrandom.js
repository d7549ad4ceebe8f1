import seedrandom from 'seedrandom'
export const input = { seed: 'hello.' }
export const use = ({ seed }) => {
  const random = seedrandom(seed)
  const kept = seedrandom('x', { state: true })
  kept()
  return [
    random(),
    random.quick(),
    random.int32(),
    typeof seedrandom()(),
    seedrandom('', { state: kept.state() })() === kept(),
    seedrandom.alea('a')(),
    seedrandom.xor4096('b')(),
  ]
}
