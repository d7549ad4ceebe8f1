import { jwtVerify, SignJWT } from 'jose'
export const input = { user: 'u1' }
export const use = async ({ user }) => {
  const key = new TextEncoder().encode('0123456789abcdef0123456789abcdef')
  const token = await new SignJWT({ user }).setProtectedHeader({ alg: 'HS256' }).setIssuedAt(1e9).sign(key)
  return { token, payload: (await jwtVerify(token, key)).payload }
}
