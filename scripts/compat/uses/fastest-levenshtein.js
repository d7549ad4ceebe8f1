import { closest, distance } from 'fastest-levenshtein'
export const input = { word: 'fast', among: ['slow', 'faster', 'fastest'] }
export const use = ({ word, among }) => ({
  all: among.map(other => distance(word, other)),
  best: closest(word, among),
  long: distance('ab'.repeat(40), 'ba'.repeat(41)),
})
