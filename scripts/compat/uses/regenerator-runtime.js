import runtime from 'regenerator-runtime'

export const input = { n: 4 }
/** What Babel makes of a generator and of an async function for ES5. */
export const use = async ({ n }) => {
  const step = context => {
    if (context.next === 0) context.i = 0
    if (context.i >= n) return context.stop()
    context.next = 1
    return context.i++
  }
  const count = runtime.mark(function count() {
    return runtime.wrap(step, count)
  })
  const late = await runtime.async(context => {
    if (context.next === 'end') return context.stop()
    if (context.next !== 0) return context.abrupt('return', context.sent + 1)
    context.next = 1
    return runtime.awrap(Promise.resolve(5))
  })
  return { counted: [...count()], late, is: runtime.isGeneratorFunction(count) }
}
