import { isRight } from 'fp-ts/lib/Either.js'
import * as t from 'io-ts'
import { PathReporter } from 'io-ts/lib/PathReporter.js'

const Item = t.intersection([t.type({ id: t.string, score: t.number }), t.partial({ tags: t.array(t.string) })])
export const input = {
  rows: [
    { id: 'a', score: 1 },
    { id: 7, score: 'x' },
  ],
}
export const use = ({ rows }) =>
  rows.map(row => {
    const decoded = Item.decode(row)
    return [isRight(decoded), PathReporter.report(decoded)]
  })
