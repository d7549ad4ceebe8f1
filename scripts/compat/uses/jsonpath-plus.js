import { JSONPath } from 'jsonpath-plus'
export const input = {
  store: {
    book: [
      { price: 8, title: 'a' },
      { price: 12, title: 'b' },
    ],
  },
}
export const use = json => [
  JSONPath({ path: '$..title', json }),
  JSONPath({ path: '$.store.book[?(@.price < 10)].title', json, eval: 'safe' }),
  JSONPath({ path: '$..book[-1:]', json, resultType: 'pointer' }),
]
