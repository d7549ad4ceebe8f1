import Graph from 'graphology'
import pagerank from 'graphology-metrics/centrality/pagerank.js'
export const input = {
  edges: [
    ['a', 'b'],
    ['b', 'c'],
    ['c', 'a'],
    ['d', 'a'],
  ],
}
export const use = ({ edges }) => {
  const graph = new Graph({ type: 'directed' })
  for (const [from, to] of edges) graph.mergeEdgeWithKey(`${from}-${to}`, from, to)
  return { order: graph.order, rank: pagerank(graph), near: graph.neighbors('a'), text: graph.export() }
}
