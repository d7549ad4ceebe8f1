import * as turf from '@turf/turf'
export const input = {
  ring: [
    [0, 0],
    [0, 10],
    [10, 10],
    [10, 0],
    [0, 0],
  ],
}
export const use = ({ ring }) => {
  const square = turf.polygon([ring])
  const other = turf.polygon([
    [
      [5, 5],
      [5, 15],
      [15, 15],
      [15, 5],
      [5, 5],
    ],
  ])
  return {
    area: turf.area(square),
    inside: turf.booleanPointInPolygon([5, 5], square),
    both: turf.intersect(turf.featureCollection([square, other])).geometry,
    centre: turf.centroid(square).geometry,
    length: turf.distance([0, 0], [1, 1], { units: 'kilometers' }),
    hull: turf.convex(
      turf.points([
        [0, 0],
        [1, 1],
        [2, 0],
        [1, 3],
      ]),
    ).geometry,
    buffered: turf.area(turf.buffer(turf.point([1, 1]), 1, { units: 'kilometers', steps: 8 })),
    grid: turf.hexGrid([0, 0, 1, 1], 50).features.length,
  }
}
