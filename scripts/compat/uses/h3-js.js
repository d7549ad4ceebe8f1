import { cellToBoundary, cellToLatLng, getResolution, gridDisk, gridDistance, latLngToCell, polygonToCells } from 'h3-js'
export const input = { lat: 37.3615593, lng: -122.0553238 }
export const use = ({ lat, lng }) => {
  const cell = latLngToCell(lat, lng, 7)
  const ring = gridDisk(cell, 1)
  return {
    cell,
    centre: cellToLatLng(cell),
    boundary: cellToBoundary(cell),
    ring,
    distance: gridDistance(cell, ring[3]),
    resolution: getResolution(cell),
    covered: polygonToCells(
      [
        [37.8, -122.4],
        [37.7, -122.5],
        [37.7, -122.3],
      ],
      6,
    ).sort(),
  }
}
