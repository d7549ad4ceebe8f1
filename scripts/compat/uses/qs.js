import qs from 'qs'
export const input = { text: 'a[b][]=1&a[b][]=2&c=%E2%98%BA&d.e=3' }
export const use = ({ text }) => [
  qs.parse(text, { allowDots: true }),
  qs.stringify({ a: [1, { b: 'é' }], n: null, at: new Date(0) }, { arrayFormat: 'brackets', encodeValuesOnly: true }),
  qs.parse('a=%A7', { charset: 'iso-8859-1' }),
]
