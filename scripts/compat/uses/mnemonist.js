import { BiMap, BKTree, BloomFilter, FibonacciHeap, KDTree, LRUMap, MultiMap, SuffixArray, TrieMap, VPTree } from 'mnemonist'
export const input = { words: ['book', 'back', 'cook', 'lack'] }
export const use = ({ words }) => {
  const distance = (a, b) => [...a].filter((c, i) => c !== b[i]).length
  const lru = new LRUMap(2)
  for (const word of words) lru.set(word, word.length)
  return {
    near: BKTree.from(words, distance).search(1, 'book'),
    vp: VPTree.from(words, distance).nearestNeighbors(2, 'took'),
    lru: [...lru.keys()],
    kd: KDTree.from(
      [
        ['a', [0, 0]],
        ['b', [3, 4]],
        ['c', [1, 1]],
      ],
      2,
    ).kNearestNeighbors(2, [2, 2]),
    suffixes: new SuffixArray('banana').array,
    heap: FibonacciHeap.from([3, 1, 2]).pop(),
    trie: TrieMap.from(new Map(words.map(w => [w, 1]))).find('b').length,
    bloom: BloomFilter.from(words).test('cook'),
    multi: MultiMap.from(
      [
        [1, 'a'],
        [1, 'b'],
      ].map(([, v]) => v),
    ).size,
    bi: BiMap.from({ one: 1 }).inverse.get(1),
  }
}
