import Fuse from 'fuse.js'
export const input = {
  books: [
    { title: "Old Man's War", author: 'John Scalzi' },
    { title: 'The Lock Artist', author: 'Steve Hamilton' },
    { title: 'HTML5', author: 'Remy Sharp' },
  ],
}
export const use = ({ books }) => {
  const fuse = new Fuse(books, {
    keys: [{ name: 'title', weight: 2 }, 'author'],
    includeScore: true,
    includeMatches: true,
    useExtendedSearch: true,
  })
  return { fuzzy: fuse.search('od man'), extended: fuse.search('^HTML | =x').map(hit => hit.refIndex) }
}
