/** `sdk schema`: the JSON Schema of a scene, for completion and checks in an editor. */
import { SceneDefinition } from '../../../base/traffic/schema.ts'

/** Prints JSON, with and without `--json`. */
export function printSchema(): void {
  process.stdout.write(`${JSON.stringify(sceneSchema(), null, 2)}\n`)
}

/** The schema of a scene file, which may say where its schema is. */
export function sceneSchema(): object {
  const { properties, ...schema } = JSON.parse(JSON.stringify(SceneDefinition), withoutDefaulted) as ObjectSchema
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'A scene of Berth',
    ...schema,
    properties: { $schema: { type: 'string' }, ...properties },
  }
}

interface ObjectSchema {
  readonly properties: Readonly<Record<string, object>>
  readonly required: readonly string[]
}

/** What has a default may be left out of a file: the base fills it in. */
function withoutDefaulted(_: string, value: unknown): unknown {
  if (!isObjectSchema(value)) return value
  return { ...value, required: value.required.filter(name => !('default' in (value.properties[name] ?? {}))) }
}

function isObjectSchema(value: unknown): value is ObjectSchema {
  return typeof value === 'object' && value !== null && 'properties' in value && 'required' in value && Array.isArray(value.required)
}
