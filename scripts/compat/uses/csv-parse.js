import { parse } from 'csv-parse/browser/esm/sync'
export const input = { text: 'id,name\n1,"a ""quoted"" name"\n2,"two\nlines"\n' }
export const use = ({ text }) => [
  parse(text, { columns: true, cast: true }),
  parse('a;b\n', { delimiter: ';' }),
  parse('#x\n1,2', { comment: '#' }),
]
