import { stemmer } from 'stemmer'
export const input = { words: ['considerations', 'detestable', 'vileness', 'running'] }
export const use = ({ words }) => words.map(stemmer)
