import JSON5 from 'json5/lib/index.js'
export const input = { text: "{ // comment\n unquoted: 'x', hex: 0xFF, list: [1,], half: .5, inf: -Infinity }" }
export const use = ({ text }) => {
  const value = JSON5.parse(text)
  try {
    return JSON5.parse('{a:}')
  } catch (error) {
    return { value: { ...value, inf: String(value.inf) }, text: JSON5.stringify(value, null, 1), message: error.message }
  }
}
