import { mat4, quat, vec3 } from 'gl-matrix'
export const input = { v: [1, 2, 3] }
export const use = ({ v }) => [
  [...vec3.normalize(vec3.create(), v)],
  [...mat4.invert(mat4.create(), mat4.fromTranslation(mat4.create(), v))],
  [...quat.slerp(quat.create(), [0, 0, 0, 1], [0, 1, 0, 0], 0.3)],
]
