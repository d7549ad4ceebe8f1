import build from 'fast-json-stringify'

const stringify = build({
  type: 'object',
  properties: {
    id: { type: 'string' },
    score: { type: 'number' },
    tags: { type: 'array', items: { type: 'string' } },
    at: { type: 'string', format: 'date-time' },
  },
  required: ['id'],
})
export const input = { item: { id: 'a"b', score: 0.5, tags: ['x', 'é'], more: 1 } }
export const use = ({ item }) => {
  const text = stringify({ ...item, at: new Date(0) })
  try {
    return stringify({})
  } catch (error) {
    return [text, error.message]
  }
}
