import { applyPatches, createDraft, enableMapSet, enablePatches, finishDraft, produce, produceWithPatches } from 'immer'

enablePatches()
enableMapSet()
export const input = { state: { items: [{ id: 1, done: false }], seen: 0 } }
export const use = ({ state }) => {
  const [next, patches, inverse] = produceWithPatches(state, draft => {
    draft.items[0].done = true
    draft.items.push({ id: 2 })
    draft.seen++
  })
  const draft = createDraft(state)
  draft.seen = 9
  return {
    next,
    patches,
    back: applyPatches(next, inverse),
    frozen: Object.isFrozen(next),
    kept: next.items !== state.items,
    map: [
      ...produce(new Map([[1, 2]]), d => {
        d.set(3, 4)
      }),
    ],
    draft: finishDraft(draft),
  }
}
