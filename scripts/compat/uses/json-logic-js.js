import jsonLogic from 'json-logic-js'

jsonLogic.add_operation('double', x => x * 2)
export const input = { temp: 100, pie: { filling: 'apple' }, list: [1, 2, 3] }
export const use = data =>
  [
    { and: [{ '<': [{ var: 'temp' }, 110] }, { '==': [{ var: 'pie.filling' }, 'apple'] }] },
    { map: [{ var: 'list' }, { double: [{ var: '' }] }] },
    { reduce: [{ var: 'list' }, { '+': [{ var: 'current' }, { var: 'accumulator' }] }, 0] },
    { missing: ['a', 'temp'] },
  ].map(rule => jsonLogic.apply(rule, data))
