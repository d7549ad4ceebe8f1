import levenshtein from 'fast-levenshtein'
export const input = {
  pairs: [
    ['back', 'book'],
    ['mikailovitch', 'Mikhaïlovitch'],
    ['日本', '日木語'],
  ],
}
export const use = ({ pairs }) => pairs.map(([a, b]) => [levenshtein.get(a, b), levenshtein.get(a, b, { useCollator: true })])
