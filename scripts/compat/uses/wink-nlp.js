import model from 'wink-eng-lite-web-model'
import winkNLP from 'wink-nlp'

const nlp = winkNLP(model)
export const input = { text: 'Dr. Smith paid $20 for three apples in Paris. Great!' }
export const use = ({ text }) => {
  const doc = nlp.readDoc(text)
  return {
    sentences: doc.sentences().out(),
    entities: doc.entities().out(nlp.its.detail),
    tags: doc.tokens().out(nlp.its.pos),
    stems: doc.tokens().out(nlp.its.stem),
    mood: doc.out(nlp.its.sentiment),
  }
}
