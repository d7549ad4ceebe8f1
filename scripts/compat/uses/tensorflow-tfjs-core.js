import * as tf from '@tensorflow/tfjs-core'
import '@tensorflow/tfjs-backend-cpu'
export const input = {
  x: [
    [1, 2],
    [3, 4],
    [5, 6],
  ],
  weights: [[0.1], [0.2]],
}
export const use = async ({ x, weights }) => {
  await tf.setBackend('cpu')
  const scores = tf.tidy(() => tf.softmax(tf.reshape(tf.matMul(tf.tensor2d(x), tf.tensor2d(weights)), [3])))
  const { values, indices } = tf.topk(scores, 2)
  return {
    backend: tf.getBackend(),
    scores: await scores.array(),
    top: [await values.array(), await indices.array()],
    kept: tf.memory().numTensors,
  }
}
