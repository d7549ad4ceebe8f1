import { PCA } from 'ml-pca'
export const input = {
  rows: [
    [40, 50, 60],
    [50, 70, 60],
    [80, 70, 90],
    [50, 60, 80],
  ],
}
export const use = ({ rows }) => {
  const pca = new PCA(rows)
  return { variance: pca.getExplainedVariance(), projected: pca.predict([[45, 55, 65]]).to2DArray() }
}
