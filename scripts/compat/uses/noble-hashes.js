import { blake3 } from '@noble/hashes/blake3.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256, sha512 } from '@noble/hashes/sha2.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
export const input = { text: 'abc' }
export const use = ({ text }) =>
  [sha256, sha512, keccak_256, blake3, x => hmac(sha256, utf8ToBytes('key'), x)].map(hash => bytesToHex(hash(utf8ToBytes(text))))
