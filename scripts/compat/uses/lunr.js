import lunr from 'lunr'
export const input = {
  docs: [
    { id: 'a', text: 'green plants grow' },
    { id: 'b', text: 'the study of plants' },
    { id: 'c', text: 'colours of green' },
  ],
}
export const use = ({ docs }) => {
  const index = lunr(function () {
    this.ref('id')
    this.field('text')
    for (const doc of docs) this.add(doc)
  })
  return {
    hits: index.search('+plant green'),
    wild: index.search('stud*').map(hit => hit.ref),
    again: lunr.Index.load(JSON.parse(JSON.stringify(index))).search('colour').length,
  }
}
