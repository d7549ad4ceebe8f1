import { fromJS, Map as IMap, List, OrderedSet, Range, Record, Seq } from 'immutable'
export const input = { value: { a: { b: [1, 2, 3] } } }
const Point = Record({ x: 0, y: 0 })
export const use = ({ value }) => ({
  deep: fromJS(value).updateIn(['a', 'b'], b => b.push(4)),
  sorted: List([3, 1, 2]).sort().toJS(),
  merged: IMap({ a: 1 }).merge({ b: 2 }),
  set: OrderedSet([2, 1, 2]),
  lazy: Seq(Range(0, 100))
    .filter(n => n % 7 === 0)
    .take(3),
  record: Point({ x: 1 }).set('y', 2),
  hash: fromJS(value).hashCode(),
  text: List([1]).toString(),
})
