import snappy from 'snappyjs'
export const input = { text: 'ranking '.repeat(300) }
export const use = ({ text }) => {
  const bytes = snappy.compress(new TextEncoder().encode(text))
  return { head: [...bytes].slice(0, 20), back: new TextDecoder().decode(snappy.uncompress(bytes)) === text }
}
