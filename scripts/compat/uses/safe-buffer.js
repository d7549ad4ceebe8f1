import { Buffer } from 'safe-buffer'
export const input = { text: 'Größe' }
export const use = ({ text }) => ({
  base64: Buffer.from(text).toString('base64'),
  zeros: [...Buffer.alloc(3)],
  is: Buffer.isBuffer(Buffer.from([1])),
})
