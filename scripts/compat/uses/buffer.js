import { Buffer } from 'buffer/index.js'
export const input = { text: 'Größe 日本 🚀' }
export const use = ({ text }) => {
  const buffer = Buffer.from(text)
  const numbers = Buffer.alloc(16)
  numbers.writeDoubleBE(0.1, 0)
  numbers.writeInt32LE(-7, 8)
  return {
    hex: buffer.toString('hex'),
    base64: buffer.toString('base64'),
    utf16: Buffer.from(text, 'utf16le').toString('utf16le'),
    latin1: Buffer.from('é', 'latin1').length,
    json: buffer.toJSON(),
    numbers: [...numbers],
    read: numbers.readDoubleBE(0),
    joined: Buffer.concat([buffer, numbers]).length,
    at: buffer.indexOf('日'),
    order: Buffer.compare(buffer, numbers),
    part: buffer.subarray(0, 3).toString(),
    is: Buffer.isBuffer(buffer.slice(1)),
  }
}
