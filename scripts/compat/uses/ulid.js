import { decodeTime, encodeTime, isValid, monotonicFactory, ulid } from 'ulid'
export const input = { at: 1469918176385 }
export const use = ({ at }) => {
  const next = monotonicFactory(() => 0.5)
  return [ulid(at).slice(0, 10), next(at), next(at), decodeTime(ulid(at)), encodeTime(at, 10), isValid(ulid())]
}
