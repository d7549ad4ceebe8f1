import { byteLength, fromByteArray, toByteArray } from 'base64-js'
export const input = { bytes: [0, 1, 250, 255, 7] }
export const use = ({ bytes }) => {
  const text = fromByteArray(new Uint8Array(bytes))
  return { text, length: byteLength(text), back: [...toByteArray(text)] }
}
