import { array, assert, create, defaulted, number, object, StructError, size, string } from 'superstruct'

const Item = object({ id: size(string(), 1, 5), score: defaulted(number(), 0.5), tags: defaulted(array(string()), () => []) })
export const input = { good: { id: 'a' }, bad: { id: 7 } }
export const use = ({ good, bad }) => {
  try {
    assert(bad, Item)
  } catch (error) {
    return { made: create(good, Item), message: error.message, is: error instanceof StructError, path: error.path }
  }
}
