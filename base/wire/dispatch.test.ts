import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dispatcher } from './dispatch.ts'

type Message = { readonly type: 'add'; readonly by: number } | { readonly type: 'name'; readonly name: string }

/** Messages as they come over a wire: of whatever type. */
function receive(messages: readonly unknown[]): { handled: unknown[]; reported: string[] } {
  const handled: unknown[] = []
  const reported: string[] = []
  const take = dispatcher<Message, [from: string]>(
    'the test',
    { add: ({ by }, from) => handled.push([from, by + 1]), name: ({ name }, from) => handled.push([from, name]) },
    sentence => reported.push(sentence),
  )
  for (const message of messages) take(message as Message, 'a')
  return { handled, reported }
}

test('each message goes to the handler of its type, in the order they come', () => {
  const { handled, reported } = receive([
    { type: 'name', name: 'x' },
    { type: 'add', by: 1 },
    { type: 'name', name: 'y' },
  ])
  assert.deepEqual(handled, [['a', 'x'], ['a', 2], ['a', 'y']]) // biome-ignore format: one row
  assert.deepEqual(reported, [])
})

test('a message of an unknown type goes to no handler and is reported once, also when its type is the name of a built-in', () => {
  const { handled, reported } = receive([{ type: 'gossip' }, { type: 'constructor' }, { type: 'gossip' }, {}, { type: 'add', by: 1 }])
  assert.deepEqual(handled, [['a', 2]])
  assert.deepEqual(reported, [
    'the test ignores messages of the unknown type "gossip"',
    'the test ignores messages of the unknown type "constructor"',
    'the test ignores messages of the unknown type "undefined"',
  ])
})
