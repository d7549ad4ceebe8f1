import Papa from 'papaparse'
export const input = { text: 'id,name\n1,"a ""quoted"" name"\n2,"two\nlines"\n3,x,y' }
export const use = ({ text }) => [
  Papa.parse(text, { header: true, dynamicTyping: true }),
  Papa.unparse([{ a: 1, b: 'x,y' }]),
  Papa.parse('a\tb').meta.delimiter,
]
