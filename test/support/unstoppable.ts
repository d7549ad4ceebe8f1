/**
 * An expression that keeps the thread of its isolate for longer than anybody waits: a loop in one of V8's built-ins that notices no interrupt. Only
 * the end of the process ends it.
 */
export const UNSTOPPABLE = 'Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1)'
