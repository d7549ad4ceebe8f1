import FlexSearch from 'flexsearch'
export const input = { docs: ['cats abcd efgh ijkl', 'dogs live long', 'a cat and a dog'] }
export const use = ({ docs }) => {
  const index = new FlexSearch.Index({ tokenize: 'forward', resolution: 9 })
  docs.forEach((doc, i) => {
    index.add(i, doc)
  })
  const document = new FlexSearch.Document({ document: { id: 'id', index: ['title'], tag: 'kind' }, tokenize: 'full' })
  docs.forEach((title, id) => {
    document.add({ id, title, kind: id % 2 ? 'odd' : 'even' })
  })
  return { cat: index.search('cat'), gone: index.remove(0).search('cat'), fields: document.search('og'), limited: index.search('do', 1) }
}
