import { compileExpression } from 'filtrex'
export const input = {
  rows: [
    { score: 5, tag: 'x' },
    { score: 1, tag: 'y' },
  ],
}
export const use = ({ rows }) =>
  rows.map(row => [
    compileExpression('score > 2 and tag in ("x", "z")')(row),
    compileExpression('score ^ 2 + twice(score)', { extraFunctions: { twice: n => n * 2 } })(row),
    String(compileExpression('missing + 1')(row)),
  ])
