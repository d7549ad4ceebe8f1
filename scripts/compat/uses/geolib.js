import { getBounds, getCenter, getDistance, getPreciseDistance, isPointInPolygon, orderByDistance } from 'geolib'
export const input = {
  places: [
    { latitude: 52.51, longitude: 13.39 },
    { latitude: 48.85, longitude: 2.35 },
    { latitude: 51.5, longitude: -0.12 },
  ],
}
export const use = ({ places }) => ({
  far: getDistance(places[0], places[1]),
  exact: getPreciseDistance(places[0], places[1]),
  centre: getCenter(places),
  bounds: getBounds(places),
  near: orderByDistance(places[1], places),
  inside: isPointInPolygon({ latitude: 50, longitude: 3 }, places),
})
