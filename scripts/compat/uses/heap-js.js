import { Heap } from 'heap-js'
export const input = { scores: [5, 1, 9, 3, 7] }
export const use = ({ scores }) => {
  const heap = new Heap(Heap.maxComparator)
  heap.init([...scores])
  return {
    top: heap.top(3),
    best: heap.pop(),
    size: heap.length,
    order: [...heap],
    sorted: Heap.heapsort?.([...scores]) ?? null,
    least: Heap.nsmallest(2, [...scores]),
  }
}
