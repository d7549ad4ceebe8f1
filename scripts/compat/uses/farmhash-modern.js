import { fingerprint32, fingerprint64, hash32 } from 'farmhash-modern'
export const input = { text: 'hello world' }
export const use = ({ text }) => [hash32(text), fingerprint32(text), String(fingerprint64(text))]
