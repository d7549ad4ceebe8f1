import { Digest, TDigest } from 'tdigest'
export const input = { n: 1000 }
export const use = ({ n }) => {
  const digest = new TDigest()
  const adaptive = new Digest({ mode: 'auto' })
  for (let i = 0; i < n; i++) [digest.push((i * 7919) % n), adaptive.push(i % 10)]
  digest.compress()
  return { quantiles: digest.percentile([0, 0.5, 0.99, 1]), rank: digest.p_rank(500), auto: adaptive.summary().split('\n').length }
}
