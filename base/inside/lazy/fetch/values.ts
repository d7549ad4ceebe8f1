/** A word of HTTP: the name of a header, a method. */
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

export const isObject = (value: unknown): value is object => (typeof value === 'object' && value !== null) || typeof value === 'function'
