import unidecode from 'unidecode'
export const input = { text: 'Ærøskøbing 北京 Привет' }
export const use = ({ text }) => unidecode(text)
