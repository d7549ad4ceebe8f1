import slugify from 'slugify'
export const input = { titles: ['Unicode ♥ Größe', 'A & B — 100%', 'Привет мир'] }
export const use = ({ titles }) => titles.map(title => [slugify(title), slugify(title, { lower: true, strict: true, locale: 'de' })])
