import Joi from 'joi'

const schema = Joi.object({
  id: Joi.string().alphanum().min(2).required(),
  score: Joi.number().integer().default(1),
  mail: Joi.string().email({ tlds: false }),
  at: Joi.date().iso(),
}).with('mail', 'at')
export const input = { rows: [{ id: 'ab', score: '3' }, { id: '!' }, { id: 'ab', mail: 'a@b.example' }] }
export const use = ({ rows }) =>
  rows.map(row => {
    const { value, error } = schema.validate(row, { abortEarly: false })
    return { value, errors: error?.details.map(d => d.message) }
  })
