import sha from 'sha.js'
export const input = { text: 'abc' }
export const use = ({ text }) => ['sha1', 'sha256', 'sha512'].map(kind => sha(kind).update(text, 'utf8').digest('hex'))
