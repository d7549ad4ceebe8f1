import { S2CellId, S2LatLng, S2LatLngRect, S2RegionCoverer } from 'nodes2ts'
export const input = { lat: 52.51, lng: 13.39 }
export const use = ({ lat, lng }) => {
  const cell = S2CellId.fromPoint(S2LatLng.fromDegrees(lat, lng).toPoint())
  const coverer = new S2RegionCoverer().setMaxCells(6).setMinLevel(4).setMaxLevel(12)
  const box = S2LatLngRect.fromLatLng(S2LatLng.fromDegrees(lat, lng), S2LatLng.fromDegrees(lat + 0.5, lng + 0.5))
  return { token: cell.toToken(), parent: cell.parentL(10).toToken(), covering: coverer.getCoveringCells(box).map(c => c.toToken()) }
}
