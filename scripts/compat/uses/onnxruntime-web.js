import * as ort from 'onnxruntime-web/wasm'

// A model with one operator: y = x + x.
const model = 'CAg6NwoOCgF4CgF4EgF5IgNBZGQSAWdaEAoBeBILCgkIARIFCgMSAU5iEAoBeRILCgkIARIFCgMSAU5CAhAN'
export const input = { x: [1, 2, 3] }
export const use = async ({ x }) => {
  ort.env.wasm.numThreads = 1
  const session = await ort.InferenceSession.create(Uint8Array.from(atob(model), c => c.charCodeAt(0)))
  const { y } = await session.run({ x: new ort.Tensor('float32', Float32Array.from(x), [x.length]) })
  return [...y.data]
}
