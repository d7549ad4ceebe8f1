/**
 * The rules of a scene: which version answers whom, apart from the baseline. Rules are data and are changed on their own, independently of code
 * and of the definition of the scene. `check-rules.ts` checks them, and `decide.ts` applies them.
 */
import Type, { type Static } from 'typebox'
import { limits } from '../kernel/limits.ts'
import { BUCKETS } from './hash.ts'
import { type Range, takeFirst } from './ranges.ts'
import { AttributeName, Params, recordOf, VersionId } from './schema.ts'

const closed = { additionalProperties: false } as const

const identifier = '^[a-z0-9][a-z0-9._-]{0,63}$'
export const ExperimentId = Type.String({ pattern: identifier, description: 'lower-case letters, digits, dots, dashes and underscores' })
export const LayerId = Type.String({ pattern: identifier, description: 'lower-case letters, digits, dots, dashes and underscores' })
export const ArmName = Type.String({ pattern: identifier, description: 'lower-case letters, digits, dots, dashes and underscores' })

/** A salt is made once and never changed: another salt would reshuffle every unit whose bucket depends on it. */
const Salt = Type.String({
  pattern: '^[A-Za-z0-9._:/-]{1,128}$',
  description: 'what makes its buckets independent of all others; immutable',
})

const Bucket = Type.Integer({ minimum: 0, maximum: BUCKETS })
const Ranges = Type.Array(Type.Tuple([Bucket, Bucket]), {
  maxItems: 256,
  description: 'half-open ranges of buckets, [from, to), within 0 to 10000',
})
const Share = Type.Integer({ minimum: 0, maximum: BUCKETS, description: 'buckets: hundredths of a percent' })

const Scalar = Type.Union([Type.String({ maxLength: 256 }), Type.Number(), Type.Boolean()])

/** A condition on an attribute that a request must fulfil to take part. A condition on a missing attribute, or one of another type, never holds. */
export const Condition = Type.Object(
  {
    attribute: AttributeName,
    op: Type.Union(
      [
        Type.Literal('equals'),
        Type.Literal('in'),
        Type.Literal('lt'),
        Type.Literal('lte'),
        Type.Literal('gt'),
        Type.Literal('gte'),
        Type.Literal('range'),
      ],
      { description: 'in: one of a list; lt, lte, gt, gte: of numbers and semvers; range: of semvers, such as ">=8.2 <9"' },
    ),
    value: Type.Union([Scalar, Type.Array(Scalar, { minItems: 1, maxItems: 1000 })]),
  },
  closed,
)
export type Condition = Static<typeof Condition>

const armSettings = {
  name: ArmName,
  reserve: Ranges,
  share: Share,
}

const experimentSettings = {
  id: ExperimentId,
  description: Type.Optional(Type.String({ maxLength: 1000 })),
  phase: Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'counts the times that its salt or its meaning changed' }),
  salt: Salt,
  unit: Type.Union([Type.Literal('unit'), Type.Literal('request')], { description: 'what is hashed: the unit id, or the request id' }),
  state: Type.Union([Type.Literal('draft'), Type.Literal('running'), Type.Literal('stopped')]),
  segments: Ranges,
  where: Type.Array(Condition, { maxItems: 32, description: 'all must hold' }),
}

/**
 * An arm of a code experiment. Its `reserve` lists the buckets kept for it, and its `share` says how many of them are in force: the first ones in
 * the order listed. So an arm that grows keeps all its units, and one that shrinks gives up the buckets that it took last.
 */
export const VersionArm = Type.Object({ ...armSettings, version: VersionId }, closed)
export type VersionArm = Static<typeof VersionArm>

export const ValuesArm = Type.Object({ ...armSettings, values: Params }, closed)
export type ValuesArm = Static<typeof ValuesArm>

/** Sends buckets of units to versions. It owns some of the scene's 10,000 segments alone, so a unit is in at most one code experiment. */
export const CodeExperiment = Type.Object(
  { ...experimentSettings, arms: Type.Array(VersionArm, { minItems: 1, maxItems: 32 }) },
  { ...closed, description: 'buckets of units sent to versions' },
)
export type CodeExperiment = Static<typeof CodeExperiment>

/** Gives buckets of units values for parameters of its layer. It owns some of the layer's 10,000 segments alone. */
export const BusinessExperiment = Type.Object(
  {
    ...experimentSettings,
    arms: Type.Array(ValuesArm, { minItems: 1, maxItems: 32 }),
    versions: Type.Optional(
      Type.Array(VersionId, { minItems: 1, maxItems: 64, uniqueItems: true, description: 'only requests that these versions answer' }),
    ),
  },
  { ...closed, description: 'buckets of units given parameters' },
)
export type BusinessExperiment = Static<typeof BusinessExperiment>

export const Experiment = Type.Union([CodeExperiment, BusinessExperiment])
export type Experiment = CodeExperiment | BusinessExperiment
export type Arm = VersionArm | ValuesArm

export const Layer = Type.Object(
  {
    id: LayerId,
    state: Type.Union([Type.Literal('live'), Type.Literal('retired')], { description: 'two live layers may not own one key' }),
    salt: Salt,
    keys: Type.Array(Type.String({ minLength: 1, maxLength: 256 }), {
      minItems: 1,
      maxItems: 256,
      uniqueItems: true,
      description: 'the parameters that its experiments may set, by their top-level name',
    }),
    experiments: Type.Array(BusinessExperiment, { maxItems: limits.scene.experimentsMax }),
  },
  closed,
)
export type Layer = Static<typeof Layer>

export const Cutover = Type.Object(
  { version: VersionId, share: Share, salt: Salt },
  { ...closed, description: 'the version that takes over from the baseline, and how much of the traffic it has' },
)
export type Cutover = Static<typeof Cutover>

/** Lists of unit ids, by the version to which they are sent. */
export const Whitelist = recordOf(VersionId, Type.Array(Type.String()))
export type Whitelist = Static<typeof Whitelist>

/** What was seen of a version in one cell: that the cell was lost to it, or that its slots there were killed. */
export const Evidence = Type.Object(
  {
    at: Type.String({ description: 'ISO 8601, UTC' }),
    cell: Type.Integer({ description: 'ordinal of the cell' }),
    why: Type.String({ description: 'in words' }),
    runningMs: Type.Optional(Type.Number({ description: 'how long its code had been running when the cell was lost' })),
    kills: Type.Optional(Type.Integer({ description: 'how many of its slots were killed; not given when the cell itself was lost' })),
    answers: Type.Optional(Type.Integer({ description: 'what it had answered in the cell since the evidence before' })),
    stage: Type.Optional(Type.String({ description: 'that ran, if it is known' })),
    module: Type.Optional(Type.String({ description: 'that ran or was loaded, if it is known' })),
  },
  closed,
)
export type Evidence = Static<typeof Evidence>

export const Quarantine = Type.Object(
  {
    since: Type.String({ description: 'ISO 8601, UTC' }),
    why: Type.String({ description: 'in words' }),
    evidence: Type.Array(Evidence, { maxItems: 100, description: 'the newest last' }),
  },
  { ...closed, description: 'the version gets no requests, for this reason' },
)
export type Quarantine = Static<typeof Quarantine>

export const SceneRules = Type.Object(
  {
    previousBaseline: Type.Optional(VersionId),
    loadtest: Type.Optional(VersionId),
    whitelist: Type.Optional(Whitelist),
    segmentSalt: Salt,
    experiments: Type.Array(CodeExperiment, { maxItems: limits.scene.experimentsMax }),
    cutover: Type.Optional(Cutover),
    layers: Type.Array(Layer, { maxItems: limits.scene.layersMax }),
    quarantined: Type.Optional(recordOf(VersionId, Quarantine, { description: 'by version: why it gets no requests' })),
    versionParams: Type.Optional(recordOf(VersionId, Params, { description: "by version: over the scene's own, under those of layers" })),
  },
  closed,
)
export type SceneRules = Static<typeof SceneRules>

/** What a version is used for. It follows from the rules; a version that they give no role is `dev`. */
export type VersionKind = 'dev' | 'cutover' | 'baseline' | 'loadtest'

export function kindOf(version: string, baseline: string | null, rules: SceneRules | undefined): VersionKind {
  if (version === baseline) return 'baseline'
  if (version === rules?.cutover?.version) return 'cutover'
  return version === rules?.loadtest ? 'loadtest' : 'dev'
}

/** Rules under which the baseline answers everyone. `segmentSalt` is made once for each scene. */
export const noRules = (segmentSalt: string): SceneRules => ({ segmentSalt, experiments: [], layers: [] })

/** The buckets of an arm that are in force. */
export const inForce = ({ reserve, share }: Pick<Arm, 'reserve' | 'share'>): Range[] => takeFirst(reserve, share)

/** Every experiment of a scene, with its layer if it is in one. */
export function allExperiments(rules: SceneRules): { experiment: Experiment; layer?: Layer }[] {
  const inLayers = rules.layers.flatMap(layer => layer.experiments.map(experiment => ({ experiment, layer })))
  return [...rules.experiments.map(experiment => ({ experiment })), ...inLayers]
}

/** The rules without drafts, stopped experiments and retired layers. These decide nothing, so the decisions are the same without them. */
export function rulesInForce(rules: SceneRules): SceneRules {
  const running = <E extends Experiment>(experiments: readonly E[]): E[] => experiments.filter(({ state }) => state === 'running')
  const live = rules.layers.filter(({ state }) => state === 'live')
  const layers = live.map(layer => ({ ...layer, experiments: running(layer.experiments) }))
  return { ...rules, experiments: running(rules.experiments), layers }
}

/**
 * The versions to which rules send requests, and the previous baseline, which has to be ready for a rollback. Those in quarantine are not
 * among them.
 * @param listed versions that are named by a whitelist stored apart from the rules
 */
export function routedVersions(rules: SceneRules | undefined, baseline: string | null, listed: Iterable<string> = []): Set<string> {
  const { previousBaseline, cutover, loadtest, whitelist = {}, experiments = [] } = rules ?? {}
  const arms = experiments.filter(({ state }) => state === 'running').flatMap(experiment => experiment.arms)
  const named = [baseline, previousBaseline, cutover?.version, loadtest].flatMap(version => version ?? [])
  const routed = [...named, ...arms.map(({ version }) => version), ...Object.keys(whitelist), ...listed]
  return new Set(routed.filter(version => !isQuarantined(rules, version)))
}

/** Describes what the version does in the place of the baseline while that is in quarantine: nothing, or to answer. */
export function usesInstead(rules: SceneRules | undefined, baseline: string | null, version: string): string[] {
  const isInstead =
    baseline !== null && isQuarantined(rules, baseline) && rules?.previousBaseline === version && !isQuarantined(rules, version)
  return isInstead ? [`answering in the place of the baseline "${baseline}", which is in quarantine`] : []
}

export const isQuarantined = (rules: Pick<SceneRules, 'quarantined'> | undefined, version: string): boolean =>
  rules?.quarantined?.[version] !== undefined

/**
 * Describes every rule that uses the version. Stopped experiments and retired layers use none.
 * @param listed how many unit ids the whitelist sends to the version, when the whitelist is stored apart from the rules
 */
export function usesOfVersion(rules: SceneRules, version: string, listed = rules.whitelist?.[version]?.length ?? 0): string[] {
  const { cutover, loadtest, experiments, layers } = rules
  const code = experiments
    .filter(isOpen)
    .flatMap(({ id, arms }) => arms.filter(arm => arm.version === version).map(arm => `arm "${arm.name}" of experiment "${id}"`))
  const business = layers.filter(({ state }) => state === 'live').flatMap(layer => layer.experiments.filter(isOpen))
  return [
    ...(listed > 0 ? [`${listed} unit ${listed === 1 ? 'id' : 'ids'} of the whitelist`] : []),
    ...code,
    ...(cutover?.version === version ? ['the cutover'] : []),
    ...(loadtest === version ? ['load tests'] : []),
    ...business.filter(({ versions }) => versions?.includes(version)).map(({ id }) => `the versions of experiment "${id}"`),
  ]
}

/** Whether the experiment runs or may still be started, so that everything it names must exist. */
export const isOpen = ({ state }: Experiment): boolean => state !== 'stopped'
