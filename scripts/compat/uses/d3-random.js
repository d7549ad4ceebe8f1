import { randomBeta, randomBinomial, randomExponential, randomGamma, randomLcg, randomNormal, randomPoisson } from 'd3-random'
export const input = { seed: 0.44871573888282423 }
export const use = ({ seed }) =>
  [randomNormal, randomBeta, randomBinomial, randomExponential, randomGamma, randomPoisson].map(make =>
    make.source(randomLcg(seed))(3, 0.4)(),
  )
