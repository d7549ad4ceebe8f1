import roaring from 'roaring'
export const input = { a: [1, 2, 100000], b: [2, 100000] }
export const use = ({ a, b }) => roaring.RoaringBitmap32.and(new roaring.RoaringBitmap32(a), new roaring.RoaringBitmap32(b)).toArray()
