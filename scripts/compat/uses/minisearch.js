import MiniSearch from 'minisearch'
export const input = {
  docs: [
    { id: 1, title: 'Red running shoe' },
    { id: 2, title: 'Blue shoes' },
    { id: 3, title: 'Runner watch' },
  ],
}
export const use = ({ docs }) => {
  const search = new MiniSearch({ fields: ['title'], storeFields: ['title'] })
  search.addAll(docs)
  return {
    hits: search.search('run shoe', { prefix: true, fuzzy: 0.2 }),
    suggest: search.autoSuggest('sho'),
    index: JSON.stringify(search).length,
  }
}
