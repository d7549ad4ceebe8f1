import { franc, francAll } from 'franc'
export const input = { text: 'Alle Menschen sind frei und gleich an Würde und Rechten geboren.' }
export const use = ({ text }) => ({
  language: franc(text),
  best: francAll(text).slice(0, 3),
  chinese: franc('人人生而自由，在尊严和权利上一律平等'),
})
