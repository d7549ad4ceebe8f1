/** `sdk schema`: the JSON Schema of a scene, for completion and checks in an editor. */
import { SceneDefinition } from '../../base/traffic/schema.ts'

/** JSON with and without `--json`. A scene file may say where its schema is. */
export function printSchema(): void {
  const { properties, ...schema } = SceneDefinition
  const document = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'A scene of Berth',
    ...schema,
    properties: { $schema: { type: 'string' }, ...properties },
  }
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`)
}
