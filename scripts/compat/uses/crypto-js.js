import CryptoJS from 'crypto-js'
export const input = { text: 'u1:home', key: 'secret' }
export const use = ({ text, key }) => {
  const [k, iv] = ['000102030405060708090a0b0c0d0e0f', '101112131415161718191a1b1c1d1e1f'].map(hex => CryptoJS.enc.Hex.parse(hex))
  const sealed = CryptoJS.AES.encrypt(text, k, { iv }).toString()
  return {
    sha: CryptoJS.SHA256(text).toString(),
    mac: CryptoJS.HmacSHA1(text, key).toString(CryptoJS.enc.Base64),
    sealed,
    opened: CryptoJS.AES.decrypt(sealed, k, { iv }).toString(CryptoJS.enc.Utf8),
    md5: CryptoJS.MD5(text).toString(),
  }
}
