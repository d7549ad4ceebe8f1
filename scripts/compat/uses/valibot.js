import * as v from 'valibot'

const Item = v.object({
  id: v.pipe(v.string(), v.minLength(1)),
  score: v.optional(v.number(), 0.5),
  url: v.optional(v.pipe(v.string(), v.url())),
})
export const input = {
  rows: [
    { id: 'a', url: 'https://a.example' },
    { id: '', score: 'x' },
  ],
}
export const use = ({ rows }) =>
  rows.map(row => {
    const { success, output, issues } = v.safeParse(Item, row)
    return { success, output, flat: issues && v.flatten(issues) }
  })
