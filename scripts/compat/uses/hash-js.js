import hash from 'hash.js'
export const input = { text: 'abc' }
export const use = ({ text }) => [
  hash.sha256().update(text).digest('hex'),
  hash.ripemd160().update(text).digest('hex'),
  hash.hmac(hash.sha512, 'k').update(text).digest('hex'),
]
