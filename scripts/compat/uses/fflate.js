import { gunzipSync, gzipSync, strFromU8, strToU8, unzipSync, zipSync, zlibSync } from 'fflate'
export const input = { text: 'ranking ü '.repeat(200) }
export const use = ({ text }) => {
  const zip = unzipSync(zipSync({ 'a.txt': strToU8(text), dir: { 'b.json': strToU8('{}') } }, { mtime: '2020-01-01T00:00:00Z' }))
  return {
    size: zlibSync(strToU8(text)).length,
    back: strFromU8(gunzipSync(gzipSync(strToU8(text), { mtime: 0 }))) === text,
    files: Object.keys(zip),
  }
}
