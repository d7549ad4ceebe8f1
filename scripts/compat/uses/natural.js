import distance from 'natural/lib/natural/distance/jaro-winkler_distance.js'
import levenshtein from 'natural/lib/natural/distance/levenshtein_distance.js'
import nGrams from 'natural/lib/natural/ngrams/index.js'
import Metaphone from 'natural/lib/natural/phonetics/metaphone.js'
import stemmer from 'natural/lib/natural/stemmers/porter_stemmer.js'
import tokenizers from 'natural/lib/natural/tokenizers/index.js'

export const input = { text: 'The quick brown foxes were jumping over lazy dogs' }
export const use = ({ text }) => {
  const tokens = new tokenizers.WordTokenizer().tokenize(text)
  return {
    stems: tokens.map(token => stemmer.stem(token)),
    grams: nGrams.NGrams.bigrams(tokens),
    sound: new Metaphone().process('phonetics'),
    distance: levenshtein.LevenshteinDistance('kitten', 'sitting'),
    close: (distance.default ?? distance.JaroWinklerDistance ?? distance)('dixon', 'dicksonx', {}),
  }
}
