import TinySegmenter from 'tiny-segmenter'
export const input = { text: '私の名前は中野です。今日は良い天気ですね' }
export const use = ({ text }) => new TinySegmenter().segment(text)
