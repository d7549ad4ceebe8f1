import xxhash from 'xxhash-wasm'
export const input = { text: 'some text' }
export const use = async ({ text }) => {
  const { h32ToString, h64ToString } = await xxhash()
  return [h32ToString(text), h64ToString(text)]
}
