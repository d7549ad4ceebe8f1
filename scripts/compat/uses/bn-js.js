import BN from 'bn.js'
export const input = { a: 'dead', b: '101010' }
export const use = ({ a, b }) => {
  const [x, y] = [new BN(a, 16), new BN(b, 2)]
  return {
    sum: x.add(y).toString(10),
    power: x.pow(new BN(20)).toString(16),
    inverse: x.invm(new BN('fffffffffffffffffffffffffffffffeffffffffffffffff', 16)).toString(),
    array: x.toArray(),
    red: new BN(7).toRed(BN.red('k256')).redSqr().fromRed().toString(),
  }
}
