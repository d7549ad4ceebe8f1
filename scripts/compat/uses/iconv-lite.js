import iconv from 'iconv-lite'
export const input = { text: 'Größe 日本 中文' }
export const use = ({ text }) =>
  ['utf8', 'utf16le', 'gbk', 'shift_jis', 'latin1', 'win1251', 'big5'].map(encoding => {
    const bytes = iconv.encode(text, encoding)
    return [encoding, [...bytes], iconv.decode(bytes, encoding), iconv.encodingExists(encoding)]
  })
