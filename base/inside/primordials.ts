/** Functions of the language as they are before any module runs, and before they are hardened. */

export const { parse, stringify } = JSON
export const { floor, imul, max, min, trunc } = Math
export const { apply, construct, defineProperty: tryToDefine, deleteProperty, ownKeys, set, setPrototypeOf } = Reflect
export const {
  assign,
  create,
  defineProperties,
  defineProperty,
  entries,
  freeze,
  fromEntries,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  hasOwn,
  is,
  isExtensible,
  keys,
  seal,
  values,
} = Object
