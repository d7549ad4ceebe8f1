import { LRUCache } from 'lru-cache'
export const input = { keys: ['a', 'b', 'c', 'a', 'd'] }
export const use = async ({ keys }) => {
  const gone = []
  const cache = new LRUCache({
    max: 3,
    ttl: 60_000,
    dispose: (_, key) => gone.push(key),
    fetchMethod: async key => `fetched ${key}`,
    sizeCalculation: v => v.length,
    maxSize: 100,
  })
  for (const key of keys) cache.set(key, key.repeat(2))
  return {
    keys: [...cache.keys()],
    gone,
    has: cache.has('b'),
    fetched: await cache.fetch('z'),
    size: cache.calculatedSize,
    ttl: cache.getRemainingTTL('d') > 0,
  }
}
