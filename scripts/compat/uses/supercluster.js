import Supercluster from 'supercluster'
export const input = {
  points: [
    [2.35, 48.85],
    [2.36, 48.86],
    [13.4, 52.5],
    [13.41, 52.51],
    [-0.12, 51.5],
  ],
}
export const use = ({ points }) => {
  const index = new Supercluster({ radius: 60, maxZoom: 12 })
  index.load(points.map((coordinates, id) => ({ type: 'Feature', id, properties: {}, geometry: { type: 'Point', coordinates } })))
  const clusters = index.getClusters([-10, 40, 20, 60], 3)
  return {
    clusters: clusters.map(c => [c.properties.point_count ?? 1, c.geometry.coordinates]),
    leaves: index.getLeaves(clusters[0].id).length,
    tile: index.getTile(2, 2, 1)?.features.length,
  }
}
