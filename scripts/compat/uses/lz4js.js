import lz4 from 'lz4js'
export const input = { text: 'ranking '.repeat(300) }
export const use = ({ text }) => {
  const bytes = lz4.compress(new TextEncoder().encode(text))
  return { head: [...bytes].slice(0, 20), back: new TextDecoder().decode(lz4.decompress(bytes)) === text }
}
