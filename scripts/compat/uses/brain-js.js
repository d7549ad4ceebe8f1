import brain from 'brain.js'
export const input = {
  rows: [
    { r: 0.03, g: 0.7, b: 0.5 },
    { r: 0.16, g: 0.09, b: 0.2 },
  ],
}
export const use = ({ rows }) => {
  const network = new brain.NeuralNetwork().fromJSON({
    sizes: [3, 1],
    layers: [{ r: {}, g: {}, b: {} }, { dark: { bias: 0.5, weights: { r: -1.2, g: 0.4, b: 0.8 } } }],
    outputLookup: true,
    inputLookup: true,
    activation: 'sigmoid',
  })
  return rows.map(row => network.run(row))
}
