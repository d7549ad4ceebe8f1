import nlp from 'compromise'
export const input = { text: 'She sells 12 red sea shells near London. Spencer was walking quickly.' }
export const use = ({ text }) => {
  const doc = nlp(text)
  return {
    nouns: doc.nouns().out('array'),
    places: doc.places().out('array'),
    people: doc.people().out('array'),
    past: nlp('he walks').sentences().toPastTense().text(),
    tags: doc.out('tags')[0],
    numbers: doc.numbers().get(),
  }
}
