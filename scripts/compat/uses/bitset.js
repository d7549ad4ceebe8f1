import BitSet from 'bitset'
export const input = { bits: [1, 5, 70] }
export const use = ({ bits }) => {
  const set = new BitSet(bits)
  return {
    text: set.toString(16),
    not: set.not().get(2),
    and: set.and(new BitSet('0b100010')).toString(),
    count: set.cardinality(),
    all: [...set].slice(0, 8),
    most: set.msb(),
  }
}
