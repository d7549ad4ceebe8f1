import { bool, integer, MersenneTwister19937, picker, Random, shuffle, string, uuid4 } from 'random-js'
export const input = { seed: 42 }
export const use = ({ seed }) => {
  const engine = MersenneTwister19937.seed(seed)
  const random = new Random(MersenneTwister19937.seedWithArray([1, 2]))
  return [
    integer(0, 99)(engine),
    shuffle(engine, [1, 2, 3, 4]),
    picker(['a', 'b'])(engine),
    string()(engine, 8),
    uuid4(engine),
    bool(0.3)(engine),
    random.real(0, 1),
    random.dice(6, 3),
  ]
}
