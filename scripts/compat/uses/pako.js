import { deflate, deflateRaw, gzip, inflate, inflateRaw, ungzip } from 'pako'
export const input = { text: 'ranking '.repeat(200) }
const decoder = new TextDecoder()
export const use = ({ text }) => {
  const bytes = new TextEncoder().encode(text)
  return {
    small: [...deflate(bytes)].slice(0, 12),
    back: decoder.decode(inflate(deflate(bytes))) === text,
    gzip: decoder.decode(ungzip(gzip(bytes))).length,
    raw: inflateRaw(deflateRaw(bytes, { level: 9 })).length,
  }
}
