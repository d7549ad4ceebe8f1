import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'

const ajv = new Ajv({ allErrors: true, useDefaults: true, coerceTypes: true })
addFormats(ajv)
const validate = ajv.compile({
  type: 'object',
  required: ['id'],
  properties: {
    id: { type: 'string', pattern: '^[a-z]+$' },
    n: { type: 'integer', default: 3 },
    at: { type: 'string', format: 'date-time' },
  },
})
export const input = { rows: [{ id: 'abc', n: '1' }, { id: 'A', at: 'yesterday' }, {}] }
export const use = ({ rows }) => rows.map(row => ({ ok: validate(row), row, errors: validate.errors }))
