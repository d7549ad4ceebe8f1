import { UMAP } from 'umap-js'
export const input = { points: Array.from({ length: 24 }, (_, i) => [i % 5, (i * i) % 7, i / 3]) }
export const use = ({ points }) => {
  let state = 1
  const random = () => {
    state = (state * 16807) % 2147483647
    return state / 2147483647
  }
  return new UMAP({ nNeighbors: 5, nEpochs: 30, random }).fit(points)
}
