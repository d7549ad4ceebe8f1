import * as A from 'fp-ts/lib/Array.js'
import * as E from 'fp-ts/lib/Either.js'
import { pipe } from 'fp-ts/lib/function.js'
import * as N from 'fp-ts/lib/number.js'
import * as O from 'fp-ts/lib/Option.js'
import * as TE from 'fp-ts/lib/TaskEither.js'
export const input = { values: [3, 1, 2] }
export const use = async ({ values }) => ({
  sorted: pipe(
    values,
    A.sort(N.Ord),
    A.map(n => n * 2),
  ),
  head: pipe(
    values,
    A.head,
    O.getOrElse(() => 0),
  ),
  either: pipe(
    E.tryCatch(
      () => JSON.parse('{'),
      () => 'bad',
    ),
    E.fold(
      e => e,
      () => 'good',
    ),
  ),
  all: await pipe(
    values,
    A.traverse(TE.ApplicativePar)(n => TE.right(n + 1)),
  )(),
})
