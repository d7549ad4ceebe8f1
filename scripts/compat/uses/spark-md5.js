import SparkMD5 from 'spark-md5'
export const input = { text: 'Hi there, 世界' }
export const use = ({ text }) => [
  SparkMD5.hash(text),
  new SparkMD5().append('Hi').append(' there').end(),
  SparkMD5.ArrayBuffer.hash(new TextEncoder().encode(text).buffer),
]
