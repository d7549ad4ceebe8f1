import vader from 'vader-sentiment'
export const input = { texts: ['VADER is smart, handsome, and funny!', 'This is not good at all :('] }
export const use = ({ texts }) => texts.map(text => vader.SentimentIntensityAnalyzer.polarity_scores(text))
