import bm25 from 'wink-bm25-text-search'
export const input = { docs: ['red running shoe', 'blue shoe for running', 'green watch', 'yellow hat'] }
export const use = ({ docs }) => {
  const engine = bm25()
  engine.defineConfig({ fldWeights: { body: 1 } })
  engine.definePrepTasks([text => text.split(' ')])
  docs.forEach((body, i) => {
    engine.addDoc({ body }, i)
  })
  engine.consolidate()
  return engine.search('running shoe')
}
