import snowball from 'snowball-stemmers'
export const input = { words: { english: 'running', german: 'häuser', french: 'continuellement', russian: 'бегущая' } }
export const use = ({ words }) => Object.entries(words).map(([language, word]) => snowball.newStemmer(language).stem(word))
