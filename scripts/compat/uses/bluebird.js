import Bluebird from 'bluebird'
export const input = { ids: [1, 2, 3] }
export const use = async ({ ids }) => ({
  mapped: await Bluebird.map(ids, id => Bluebird.delay(1, id * 2), { concurrency: 2 }),
  reduced: await Bluebird.reduce(ids, (a, b) => a + b, 0),
  props: await Bluebird.props({ a: 1, b: Bluebird.resolve(2) }),
  late: await Bluebird.delay(50)
    .timeout(1, 'late')
    .catch(Bluebird.TimeoutError, error => error.message),
})
