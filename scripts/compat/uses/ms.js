import ms from 'ms'
export const input = { texts: ['2 days', '1.5h', '-3 min', '100'] }
export const use = ({ texts }) => [texts.map(text => ms(text)), ms(60000), ms(1e9, { long: true })]
