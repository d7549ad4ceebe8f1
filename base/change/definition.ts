/** Checks definitions of scenes before they become changes. Pure: given the same published modules it finds the same faults. */
import { compileCheck } from '../kernel/check.ts'
import { BerthError } from '../kernel/errors.ts'
import { faultInSchema } from '../traffic/json-schema.ts'
import { SceneDefinition } from '../traffic/schema.ts'
import { checkGroup, type Published } from './lock.ts'
import { isJson } from './parameters.ts'

const checkShape = compileCheck(SceneDefinition)

/**
 * Checks a definition against the schema and the published modules.
 * @returns it with its defaults
 * @throws SCENE_INVALID, STAGE_DUPLICATE, MODULE_NOT_FOUND, MODULE_RANGE_UNSATISFIED, MODULE_LACKS_STAGE
 */
export function checkDefinition(id: string, candidate: unknown, published: Published): SceneDefinition {
  const refuse = (why: string) => new BerthError('SCENE_INVALID', `Cannot define scene "${id}": ${why}`)
  const { value: definition, faults } = checkShape(candidate)
  if (faults !== undefined) throw refuse(faults.join('; '))
  if (definition.id !== id) throw refuse(`the definition has the id "${definition.id}"`)
  const stages = definition.group.map(({ stage }) => stage)
  const duplicate = stages.find((stage, index) => stages.indexOf(stage) !== index)
  if (duplicate !== undefined) {
    throw new BerthError('STAGE_DUPLICATE', `Cannot define scene "${id}": its group has the stage "${duplicate}" more than once`)
  }
  if (definition.callers !== undefined && definition.access !== 'token') {
    throw refuse('it lists "callers", but its access is not "token", so that everybody may call it')
  }
  for (const [name, schema] of Object.entries(definition.schemas ?? {})) {
    const fault = faultInSchema(schema)
    if (fault !== undefined) throw refuse(`its schema of the ${name} (schemas.${name}) cannot be used: ${fault}`)
  }
  if (!isJson(definition)) throw refuse('it holds what JSON cannot, such as 1e999')
  checkGroup(definition, published)
  return definition
}
