import async from 'async'
export const input = { ids: [3, 1, 2] }
export const use = async ({ ids }) => {
  const seen = []
  const queue = async.queue(async id => {
    seen.push(id)
  }, 2)
  queue.push(ids)
  await queue.drain()
  return {
    mapped: await async.mapLimit(ids, 2, async id => id * 2),
    auto: await async.auto({ a: async () => 1, b: ['a', async ({ a }) => a + 1] }),
    sorted: await async.sortBy(ids, async id => id),
    seen,
    first: await async.detect(ids, async id => id < 3),
    retried: await async.retry(2, async () => 'ok'),
  }
}
