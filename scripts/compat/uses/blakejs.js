import blake from 'blakejs'
export const input = { text: 'abc' }
export const use = ({ text }) => [blake.blake2bHex(text), blake.blake2sHex(text), blake.blake2bHex(new Uint8Array([1, 2, 3]), null, 16)]
