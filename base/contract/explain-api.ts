/** Why a request is answered as it is. */
import Type from 'typebox'
import type { Because, Rule } from '../traffic/decide.ts'
import type { Explanation as Explained } from '../traffic/explain.ts'
import { ArmName, ExperimentId, LayerId } from '../traffic/rules.ts'
import { AttributeName, recordOf, VersionId } from '../traffic/schema.ts'
import { closed, Ranges } from './common-api.ts'
import { type Shape, schemaOf } from './shape.ts'

export const ExplainRequest = Type.Object(
  {
    unit: Type.Optional(Type.String()),
    pin: Type.Optional(VersionId),
    loadtest: Type.Optional(Type.Boolean({ default: false })),
    requestId: Type.Optional(Type.String({ minLength: 1, maxLength: 128, description: 'a random one if not given' })),
    attributes: Type.Optional(
      recordOf(AttributeName, Type.Union([Type.String(), Type.Number(), Type.Boolean()]), {
        description: 'by name; text is read as what the attribute is, as that of a header is',
      }),
    ),
  },
  closed,
)
/** What a request says of itself, as far as it decides who answers the request. */
export type ExplainRequest = Shape<typeof ExplainRequest>

const rules = ['pin', 'loadtest', 'whitelist', 'experiment', 'cutover', 'baseline'] as const satisfies readonly Rule[]
export const because = [...rules, 'quarantine'] as const satisfies readonly Because[]

const Draw = Type.Object(
  {
    of: Type.Union([Type.Literal('unit'), Type.Literal('request')]),
    salt: Type.String(),
    hash: Type.Integer(),
    bucket: Type.Integer(),
    ranges: Ranges,
  },
  { description: 'how an id came to its bucket: murmur3(id, seed = murmur3(salt, 0)) % 10000; the rule takes the ranges' },
)
const Step = Type.Object({
  rule: Type.Enum([...rules, 'layer']),
  name: Type.Optional(Type.String({ description: 'the experiment that was asked; of a layer nobody was in, the layer' })),
  layer: Type.Optional(LayerId),
  decided: Type.Boolean({ description: 'whether it chose the version, or of a layer: whether it set parameters' }),
  said: Type.String({ description: 'in words' }),
  arm: Type.Optional(ArmName),
  draws: Type.Array(Draw),
})
export type Step = Shape<typeof Step>

const inArm = { phase: Type.Integer(), arm: ArmName }
export const Explanation = schemaOf<Explained>()(
  Type.Object({
    version: VersionId,
    because: Type.Enum(because),
    bucket: Type.Union([Type.Integer(), Type.Null()]),
    experiment: Type.Union([Type.Object({ id: ExperimentId, ...inArm }), Type.Null()]),
    layers: Type.Array(Type.Object({ layer: LayerId, experiment: ExperimentId, ...inArm })),
    params: Type.Unknown({ description: 'any JSON: what stages see as ctx.params' }),
    exposed: Type.Boolean({ description: 'whether the outcome counts for what the request was exposed to' }),
    steps: Type.Array(Step, { description: 'in the order they were asked; rules after the one that decided were not' }),
  }),
)
/** A decision, and what each rule that was asked said. */
export type Explanation = Shape<typeof Explanation>
