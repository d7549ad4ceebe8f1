import { Parser } from 'expr-eval'
export const input = { x: 3, y: 4 }
export const use = ({ x, y }) => {
  const parser = new Parser()
  return [
    parser.evaluate('sqrt(x^2 + y^2)', { x, y }),
    parser.parse('x > 2 and y < 5 ? "in" : "out"').evaluate({ x, y }),
    parser.parse('2 * x + 1').simplify({ x }).toString(),
    parser.parse('a * b').toJSFunction('a,b')(2, 3),
    parser.parse('max(x, y) + f(x)').variables(),
  ]
}
