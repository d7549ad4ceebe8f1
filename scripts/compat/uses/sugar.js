import Sugar from 'sugar'

Sugar.extend()
export const input = { values: [3, 1, 2] }
export const use = ({ values }) => ({ average: values.average(), last: values.last(2), groups: values.groupBy(n => n % 2) })
