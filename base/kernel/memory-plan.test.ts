import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type CellOptions, completeCells, defaultCells, judgeMemory, neededMB } from './memory-plan.ts'

const container = (memoryMB: number, cores = 2) => ({ memoryMB, memoryFile: '/sys/fs/cgroup/memory.max', cores })
const machine = (memoryMB: number, cores = 2) => ({ memoryMB, memoryFile: undefined, cores })
const options = (cells: number, cellMemoryMB: number): CellOptions => ({ cells, cellMemoryMB })

test('there are as many cells as cores, at least two and at most 64', () => {
  assert.deepEqual([1, 2, 8, 200].map(defaultCells), [2, 2, 8, 64])
})

test('where there is plenty of memory, it does not matter', () => {
  assert.deepEqual(completeCells(machine(24_000), {}), options(2, 2048))
  assert.deepEqual(completeCells(container(24_000, 8), {}), options(8, 2048))
})

test('where memory is short, cells get less of it first, and then there are fewer', () => {
  const found = [8192, 4096, 1024, 700, 512].map(memoryMB => completeCells(container(memoryMB, 4), {}))
  assert.deepEqual(found, [options(4, 1638), options(4, 819), options(3, 257), options(2, 232), options(1, 262)])
})

test('what is given stays, and the other follows', () => {
  assert.deepEqual(completeCells(container(1024), { cells: 1 }), options(1, 675))
  assert.deepEqual(completeCells(container(1024), { cellMemoryMB: 600 }), options(1, 600))
  assert.deepEqual(completeCells(container(256), { cells: 4, cellMemoryMB: 900 }), options(4, 900))
  assert.deepEqual(completeCells(machine(8000, 8), { cellMemoryMB: 4096 }), options(8, 4096))
})

test('what is taken by default fits whenever a base fits at all, and is not refused', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 100_000 }), fc.integer({ min: 1, max: 128 }), (memoryMB, cores) => {
      for (const capacity of [container(memoryMB, cores), machine(memoryMB, cores)]) {
        const taken = completeCells(capacity, {})
        const fits = neededMB(options(1, 128)) <= memoryMB
        assert.equal(neededMB(taken) <= memoryMB, fits)
        assert.equal(judgeMemory(taken, capacity).is === 'refused', !fits)
      }
    }),
  )
})

test('what cannot fit a container is refused with the sum and with what fits', () => {
  assert.deepEqual(judgeMemory(options(4, 224), container(512)), {
    is: 'refused',
    message:
      'Cannot run in 512 MB (/sys/fs/cgroup/memory.max): launcher and supervisor 60 + keeper 80 + trial 40 + code of Node.js 60 + 4 cells of up to 224 MB, with room to replace and to kill them, 880 = 1120 MB. What fits are --cells 1 and --cell-memory-mb 262, which is what it takes when neither is given',
  })
  assert.match(JSON.stringify(judgeMemory(options(1, 128), container(300))), /refused.* = 378 MB\. A base needs 474 MB for one cell/)
})

test('on a machine of its own, cells that may outgrow it are warned of, and refused only if they cannot even start', () => {
  const verdicts = [machine(16_000), machine(4096), machine(400)].map(capacity => judgeMemory(options(4, 2048), capacity).is)
  assert.deepEqual(verdicts, ['fits' /* 10 GB */, 'tight', 'refused'])
})

test('cells with little memory in a container are warned of', () => {
  const { is, message } = judgeMemory(completeCells(container(512), { cells: 2 }), container(512)) as { is: string; message: string }
  assert.equal(is, 'tight')
  assert.match(message, /^cells have little memory: 156 MB each, where 224 are enough/)
})
