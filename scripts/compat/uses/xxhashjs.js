import XXH from 'xxhashjs'
export const input = { text: 'abcd', seed: 0xabcd }
export const use = ({ text, seed }) => ({
  h32: XXH.h32(text, seed).toString(16),
  h64: XXH.h64(text, seed).toString(16),
  streamed: XXH.h32(seed).update('ab').update('cd').digest().toNumber(),
})
