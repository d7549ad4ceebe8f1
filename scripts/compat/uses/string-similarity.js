import similarity from 'string-similarity'
export const input = {
  main: 'Olive-green table for sale',
  others: ['For sale: green Subaru Impreza', 'For sale: table in very good condition, olive green in colour', 'Wanted: mountain bike'],
}
export const use = ({ main, others }) => similarity.findBestMatch(main, others)
