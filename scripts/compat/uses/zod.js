import { z } from 'zod'

const Item = z.object({
  id: z.string().min(1),
  score: z.number().default(0.5),
  url: z.url().optional(),
  at: z.coerce.date().optional(),
  kind: z.enum(['a', 'b']).catch('a'),
})
export const input = { good: { id: 'a', url: 'https://a.example/x', at: 0 }, bad: [{ id: '', score: 'x' }] }
export const use = ({ good, bad }) => ({
  parsed: Item.parse(good),
  issues: z.array(Item).safeParse(bad).error.issues,
  schema: z.toJSONSchema(z.object({ n: z.int().min(1) })),
  text: z.prettifyError(z.array(Item).safeParse(bad).error),
})
