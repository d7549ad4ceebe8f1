import murmurhash from 'murmurhash'
export const input = { ids: ['u1', 'üñí', ''] }
export const use = ({ ids }) => ids.map(id => [murmurhash.v3(id), murmurhash.v3(id, 42), murmurhash.v2(id, 7)])
