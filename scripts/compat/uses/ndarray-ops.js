import ndarray from 'ndarray'
import gemm from 'ndarray-gemm'
import ops from 'ndarray-ops'
export const input = { a: [1, 2, 3, 4], b: [5, 6, 7, 8] }
export const use = ({ a, b }) => {
  const [x, y, z] = [a, b, [0, 0, 0, 0]].map(values => ndarray(new Float64Array(values), [2, 2]))
  gemm(z, x, y)
  const product = [...z.data]
  ops.mulseq(z, 2)
  ops.addeq(z, x.transpose(1, 0))
  return {
    product,
    after: [...z.data],
    sum: ops.sum(z),
    most: ops.sup(z),
    at: ops.argmax(z),
    part: z.pick(null, 1).shape,
    unpacked: z.get(1, 0),
  }
}
