import geohash from 'ngeohash'
export const input = { lat: 37.8324, lon: 112.5584 }
export const use = ({ lat, lon }) => ({
  hash: geohash.encode(lat, lon),
  point: geohash.decode('ww8p1r4t8'),
  near: geohash.neighbors('dqcjq'),
  int: geohash.encode_int(lat, lon, 52),
  boxes: geohash.bboxes(30, 120, 30.0001, 120.0001, 8),
})
