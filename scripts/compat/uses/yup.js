import { array, date, number, object, string } from 'yup'

const schema = object({
  id: string()
    .required()
    .matches(/^[a-z]+$/),
  score: number().integer().default(1),
  at: date(),
  tags: array(string()).max(1),
})
export const input = {
  rows: [
    { id: 'ab', score: '3', at: '2020-01-01T00:00:00Z' },
    { id: 'A', tags: ['a', 'b'] },
  ],
}
export const use = ({ rows }) => Promise.all(rows.map(row => schema.validate(row, { abortEarly: false }).catch(error => error.errors)))
