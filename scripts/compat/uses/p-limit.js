import pLimit from 'p-limit'
export const input = { ids: [1, 2, 3, 4, 5] }
export const use = async ({ ids }) => {
  const limit = pLimit(2)
  let running = 0
  let most = 0
  const results = await Promise.all(
    ids.map(id =>
      limit(async () => {
        most = Math.max(most, ++running)
        await new Promise(done => setTimeout(done, 1))
        running--
        return id * 2
      }),
    ),
  )
  return { results, most }
}
