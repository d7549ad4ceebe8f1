import FFT from 'fft.js'
export const input = { signal: [1, 2, 3, 4, 4, 3, 2, 1] }
export const use = ({ signal }) => {
  const fft = new FFT(signal.length)
  const spectrum = fft.createComplexArray()
  fft.realTransform(spectrum, signal)
  fft.completeSpectrum(spectrum)
  const back = fft.createComplexArray()
  fft.inverseTransform(back, spectrum)
  return { spectrum, back: fft.fromComplexArray(back) }
}
