/** The OpenAPI documents: of the control API as it is served, and of the scene port as it is built. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { scenePortDocument } from '../../contract/scene-port-api.ts'
import { errorTable } from '../../kernel/errors.ts'
import { startTestKeeper } from '../fixtures/keeper.ts'

interface Operation {
  readonly operationId?: string
  readonly summary?: string
  readonly security?: unknown
  readonly parameters?: readonly { readonly in: string; readonly name: string; readonly description?: string; readonly required: boolean }[]
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { readonly examples?: Readonly<Record<string, { readonly value: unknown }>> }>>
  }
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, { readonly schema?: object }>> }>>
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

/** Every operation, named as `GET /api/scenes`. */
const operationsOf = ({ paths }: Document): [string, Operation][] =>
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, Operation] => [`${method.toUpperCase()} ${path}`, operation]),
  )

/**
 * Places of schemas that say nothing: `{}`, an object without members, an array without items. A schema that allows any JSON says so in its
 * description.
 */
function emptySchemas(schema: unknown, path: string): string[] {
  if (typeof schema !== 'object' || schema === null) return []
  const { type, ...rest } = schema as { readonly type?: string; readonly additionalProperties?: unknown }
  const members = [rest.additionalProperties, ...['properties', 'patternProperties'].map(name => rest[name as keyof typeof rest])]
  const isEmpty =
    Object.keys(schema).length === 0 ||
    // An object that may have no members at all says so.
    (type === 'object' && rest.additionalProperties !== false && members.every(each => Object.keys(Object(each)).length === 0)) ||
    (type === 'array' && !('items' in rest) && !('prefixItems' in rest))
  const inside = Object.entries(rest).filter(([key]) => !['default', 'example', 'examples', 'required', 'enum', 'security'].includes(key))
  return [
    ...(isEmpty && !path.endsWith('/properties') ? [path] : []),
    ...inside.flatMap(([key, value]) => emptySchemas(value, `${path}/${key}`)),
  ]
}

/** What every document must say of every operation. */
async function checkDocument(document: Document): Promise<void> {
  const { valid, errors } = await new Validator().validate(structuredClone(document) as never)
  assert(valid, JSON.stringify(errors, null, 2))
  const operations = operationsOf(document)
  const ids = operations.map(([, { operationId }]) => operationId)
  assert.equal(new Set(ids).size, ids.length)
  for (const [name, { operationId, summary, security, parameters = [], responses }] of operations) {
    assert(operationId && summary && security, name)
    const named = [...name.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter).sort()
    const described = parameters.filter(parameter => parameter.in === 'path' && parameter.description).map(parameter => parameter.name)
    assert.deepEqual(described.sort(), named, name)
    const answers = Object.entries(responses).filter(([status]) => status.startsWith('2'))
    assert(answers.length > 0, name)
    // An answer to HEAD has no body.
    for (const [status, { content = {} }] of name.startsWith('HEAD') ? [] : answers) {
      assert(Object.keys(content).length > 0, `${name} ${status}`)
      for (const [type, { schema }] of Object.entries(content)) assert(schema, `${name} ${status} ${type}`)
    }
  }
  assert.deepEqual(emptySchemas(document, ''), [])
}

test('the document of the control API describes every part of every request and answer', async t => {
  const { ask } = await startTestKeeper(t)
  const document = (await ask('GET', '/docs/json')).read<Document>()
  await checkDocument(document)
  const operations = new Map(operationsOf(document).map(([, operation]) => [operation.operationId, operation]))
  const keyed = [...operations].filter(([, { parameters = [] }]) => parameters.some(({ name }) => name === 'idempotency-key'))
  const writes = operationsOf(document)
    .filter(([name]) => !/^(GET|HEAD) /.test(name))
    .map(([, { operationId }]) => operationId)
  const harmless = ['explain', 'putBlob', 'readFeatureRows', 'takeProfile', 'upgradeBase', 'runCapsule', 'verifyCapsules']
  assert.deepEqual(keyed.map(([id]) => id).sort(), writes.filter(id => !harmless.includes(id ?? '')).sort())
  const limit = operations.get('listAudit')?.parameters?.find(({ name }) => name === 'limit')
  assert.equal(limit?.required, false, 'what has a default may be left out')
  const flipped = operations.get('flipExperiment')?.responses['200']?.content?.['application/json']?.schema as Schema | undefined
  const arms = flipped?.properties.experiment?.anyOf?.map(({ properties }) => Object.hasOwn(properties, 'inForce'))
  assert.deepEqual(arms, [true, true])
  assert.deepEqual((await ask('GET', '/docs/scenes.json')).body, JSON.parse(JSON.stringify(scenePortDocument())))
})

interface Schema {
  readonly properties: Readonly<Record<string, Schema>>
  readonly anyOf?: readonly Schema[]
}

test('the document of the scene port has every exit of the data path as an answer with an example', async () => {
  const document = JSON.parse(JSON.stringify(scenePortDocument())) as Document
  await checkDocument(document)
  type Example = { readonly value: { readonly code: keyof typeof errorTable; readonly status: number } }
  const { responses, requestBody } = document.paths['/scenes/{id}']?.post ?? assert.fail('no scenes')
  const problems = Object.entries(responses).flatMap(([status, { content }]) => {
    const { examples } = (content?.['application/problem+json'] ?? {}) as { readonly examples?: Readonly<Record<string, Example>> }
    return Object.entries(examples ?? {}).map(([code, { value }]) => ({ status: Number(status), code, value }))
  })
  for (const { status, code, value } of problems) assert.deepEqual([value.code, value.status], [code, status])
  const source = [
    'cell/answer',
    'cell/scene-port',
    'cell/scene-admission',
    'traffic/decide',
    'kernel/client-error',
    'slot/slots',
    'slot/slot',
  ]
  const named = source.flatMap(
    file => readFileSync(join(import.meta.dirname, '..', '..', `${file}.ts`), 'utf8').match(/(?<=')[A-Z]+_[A-Z_]+(?=')/g) ?? [],
  )
  const notOfRequests = ['SLOT_IDLE', 'ROUTE_NOT_FOUND']
  const missing = new Set(named).difference(new Set([...problems.map(({ code }) => code), ...notOfRequests]))
  assert.deepEqual(
    [...missing].filter(code => code in errorTable && !/^(MODULE_LOAD|MODULE_EXPORT|BUNDLE|PROFILE|HEAP)/.test(code)),
    [],
  )
  const { examples = {} } = requestBody?.content['application/json'] ?? {}
  const fixture = join(import.meta.dirname, '../../../fixtures/requests/fashion-men.json')
  assert.deepEqual(examples['fashion-men']?.value, JSON.parse(readFileSync(fixture, 'utf8')))
})
