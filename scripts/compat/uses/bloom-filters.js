import { BloomFilter, CountMinSketch, CuckooFilter, HyperLogLog, MinHashFactory, TopK } from 'bloom-filters'
export const input = { ids: ['a', 'b', 'c', 'b'] }
export const use = ({ ids }) => {
  const bloom = BloomFilter.create(100, 0.01)
  const sketch = new CountMinSketch(256, 4)
  const cuckoo = new CuckooFilter(15, 3, 2)
  const log = new HyperLogLog(128)
  for (const id of ids) [bloom.add(id), sketch.update(id), cuckoo.add(id), log.update(id)]
  return {
    has: ['a', 'z'].map(id => bloom.has(id)),
    saved: BloomFilter.fromJSON(bloom.saveAsJSON()).has('b'),
    count: sketch.count('b'),
    cuckoo: cuckoo.has('c'),
    distinct: log.count(),
    kinds: [typeof MinHashFactory, typeof TopK],
  }
}
