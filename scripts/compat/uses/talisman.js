import dice from 'talisman/metrics/dice.js'
import jaroWinkler from 'talisman/metrics/jaro-winkler.js'
import doubleMetaphone from 'talisman/phonetics/double-metaphone.js'
import lancaster from 'talisman/stemmers/lancaster.js'
import words from 'talisman/tokenizers/words/index.js'

const main = module => module.default ?? module
export const input = { text: 'Maximum happiness, mystical shadows' }
export const use = ({ text }) => ({
  words: main(words)(text),
  stems: ['mystical', 'happiness'].map(main(lancaster)),
  sound: main(doubleMetaphone)('Schmidt'),
  close: main(jaroWinkler)('dixon', 'dicksonx'),
  overlap: main(dice)('night', 'nacht'),
})
