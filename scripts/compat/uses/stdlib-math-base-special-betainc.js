import betainc from '@stdlib/math-base-special-betainc'
export const input = { x: [0, 0.2, 0.5, 1] }
export const use = ({ x }) => x.map(v => [betainc(v, 2, 4), betainc(v, 2, 4, false), betainc(v, 0.5, 0.5, true, true)])
