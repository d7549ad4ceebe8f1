import { deu, eng, fra, removeStopwords, zho } from 'stopword'
export const input = { text: 'a really interesting string with some words' }
export const use = ({ text }) => [
  removeStopwords(text.split(' '), eng),
  removeStopwords('le chat et la souris'.split(' '), [...fra, ...deu]),
  removeStopwords(['我', '推荐', '的'], zho),
]
