import QuickLRU from 'quick-lru'
export const input = { keys: ['a', 'b', 'c', 'a', 'd'] }
export const use = ({ keys }) => {
  const lru = new QuickLRU({ maxSize: 2, maxAge: 60_000 })
  for (const key of keys) lru.set(key, key)
  return { size: lru.size, keys: [...lru.keys()], peek: lru.peek('a') ?? null, newest: [...lru.entriesDescending()] }
}
