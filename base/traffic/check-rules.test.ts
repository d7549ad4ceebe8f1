import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { whitelistText } from '../change/whitelist-edit.ts'
import type { ErrorCode } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { checkOffline, checkRules, type RulesContext } from './check-rules.ts'
import { business, checked, code, definition, rulesWith, units, VERSIONS } from './fixtures/scenes.ts'
import type { Range } from './ranges.ts'
import { type Condition, kindOf, type Layer, rulesInForce, type SceneRules } from './rules.ts'
import { parseWhitelist } from './whitelist.ts'

const context: RulesContext = { definition, versions: VERSIONS, baseline: 'v1' }

const layer = (id: string, keys: string[], more: Partial<Layer> = {}): Layer => ({
  id,
  keys,
  state: 'live',
  salt: id,
  experiments: [],
  ...more,
})
const arms = (...reserves: Range[]) => ({
  arms: reserves.map((range, i): [string, string, Range[], number] => [`arm-${i}`, 'v1', [range], 0]),
})
const targeted = (where: Condition) => ({ experiments: [code('exp-1', { where: [where] })] })

const refusals: readonly (readonly [what: string, rules: Partial<SceneRules>, code: ErrorCode, message: RegExp])[] = [
  [
    'ranges of arms that overlap',
    { experiments: [code('exp-1', arms([0, 5000], [4000, 8000]))] },
    'EXPERIMENT_INVALID',
    /overlap at 4000–5000/,
  ],
  ['ranges beyond 10000', { experiments: [code('exp-1', arms([0, 10_001]))] }, 'RULES_INVALID', /\/experiments\/0\/arms\/0\/reserve\/0\/1/],
  ['ranges below 0', { experiments: [code('exp-1', arms([-1, 5]))] }, 'RULES_INVALID', /\/experiments\/0\/arms\/0\/reserve\/0\/0/],
  ['empty ranges', { experiments: [code('exp-1', arms([5, 5]))] }, 'EXPERIMENT_INVALID', /range 5–5 is empty/],
  ['weights over 100%', { experiments: [code('exp-1', arms([0, 6000], [4000, 10_000]))] }, 'EXPERIMENT_INVALID', /120%, over 100%/],
  [
    'a share over its ranges',
    { experiments: [code('exp-1', { arms: [['a', 'v1', [[0, 100]], 200]] })] },
    'EXPERIMENT_INVALID',
    /"a" is to have 2%.*hold 1%/,
  ],
  [
    'two arms of a name',
    {
      experiments: [
        code('exp-1', {
          arms: [
            ['a', 'v1', [], 0],
            ['a', 'v2', [], 0],
          ],
        }),
      ],
    },
    'EXPERIMENT_INVALID',
    /two arms "a"/,
  ],
  [
    'segments that overlap themselves',
    {
      experiments: [
        code('exp-1', {
          segments: [
            [0, 10],
            [5, 20],
          ],
        }),
      ],
    },
    'EXPERIMENT_INVALID',
    /segments overlap at 5–10/,
  ],
  ['a running experiment without segments', { experiments: [code('exp-1', { segments: [] })] }, 'EXPERIMENT_INVALID', /owns no segment/],
  [
    'segments of two running experiments',
    { experiments: [code('exp-1', { segments: [[0, 600]] }), code('exp-2', { segments: [[500, 900]] })] },
    'SEGMENTS_TAKEN',
    /"exp-2" on segments 500–600 of the scene: experiment "exp-1" owns them/,
  ],
  [
    'an arm on an offline version',
    { experiments: [code('exp-1', { arms: [['a', 'v7', [], 0]] })] },
    'VERSION_OFFLINE',
    /"v7".*arm "a" of experiment "exp-1"/,
  ],
  ['a whitelist to an offline version', { whitelist: { v7: ['u1'] } }, 'VERSION_OFFLINE', /1 unit id of the whitelist/],
  ['a cutover to an offline version', { cutover: { version: 'v7', share: 5, salt: 'c' } }, 'VERSION_OFFLINE', /the cutover/],
  ['a cutover to the baseline', { cutover: { version: 'v1', share: 5, salt: 'c' } }, 'RULES_INVALID', /v1, which is the baseline already/],
  ['a cutover over 100%', { cutover: { version: 'v2', share: 10_001, salt: 'c' } }, 'RULES_INVALID', /\/cutover\/share/],
  [
    'an id used again, a stopped one too',
    { experiments: [code('exp-1', { state: 'stopped' }), code('exp-1')] },
    'EXPERIMENT_EXISTS',
    /"exp-1"/,
  ],
  [
    'an id used again in a layer',
    { experiments: [code('exp-1')], layers: [layer('ui', ['color'], { experiments: [business('exp-1', 'color')] })] },
    'EXPERIMENT_EXISTS',
    /"exp-1"/,
  ],
  [
    'an attribute that is not declared',
    targeted({ attribute: 'city', op: 'equals', value: 'x' }),
    'ATTRIBUTE_UNKNOWN',
    /"city".*country, app, age, vip/,
  ],
  [
    'an operator that does not fit',
    targeted({ attribute: 'country', op: 'lt', value: 'x' }),
    'EXPERIMENT_INVALID',
    /"lt" does not apply to the string "country"/,
  ],
  ['a value that is no semver', targeted({ attribute: 'app', op: 'gte', value: '8.2' }), 'EXPERIMENT_INVALID', /"8.2" is no semver/],
  [
    'a list where one value belongs',
    targeted({ attribute: 'age', op: 'equals', value: [1] }),
    'EXPERIMENT_INVALID',
    /"equals" on "age" takes one value/,
  ],
  [
    'two live layers with one key',
    { layers: [layer('ui', ['color', 'size']), layer('rank', ['size'])] },
    'LAYER_KEY_TAKEN',
    /"rank" own the parameter "size": layer "ui"/,
  ],
  [
    'a key that its layer does not own',
    { layers: [layer('ui', ['color'], { experiments: [business('b-1', 'topK')] })] },
    'EXPERIMENT_INVALID',
    /sets "topK", and layer "ui" owns color/,
  ],
  ['a unit sent to two versions', { whitelist: { v1: ['u1'], v2: ['u1'] } }, 'WHITELIST_INVALID', /"u1" is sent to v1 and again to v2/],
  ['a unit id that is empty', { whitelist: { v1: [''] } }, 'WHITELIST_INVALID', /entry 1 of v1 has no unit id/],
  [
    'a unit id that no line of a file can hold',
    { whitelist: { v1: ['u1\tv2\nu2', ' u3'] } },
    'WHITELIST_INVALID',
    /entry 1 of v1 has a unit id with a line end in it; entry 2 of v1 has a unit id with white space around it/,
  ],
  [
    'too many unit ids',
    { whitelist: { v1: units(limits.scene.whitelistUnitsMax + 1) } },
    'WHITELIST_INVALID',
    /100001 unit ids, the limit is 100000/,
  ],
]

for (const [what, rules, code, message] of refusals) {
  test(`refused: ${what}`, () => {
    assert.throws(() => checkRules(rulesWith(rules), context), { code, message })
  })
}

test('unknown members are refused, and what is right comes back as it was', () => {
  assert.throws(() => checkRules({ ...rulesWith({}), experimnts: [] }, context), {
    code: 'RULES_INVALID',
    message: /unknown members: experimnts/,
  })
  const rules: Partial<SceneRules> = {
    previousBaseline: 'v4',
    whitelist: { v2: units(limits.scene.whitelistUnitsMax) },
    experiments: [code('exp-1', { segments: [[0, 5000]] }), code('exp-2', { segments: [[5000, 10_000]] })],
    layers: [layer('ui', ['color'], { experiments: [business('b-1', 'color')] }), layer('old', ['color'], { state: 'retired' })],
  }
  assert.deepEqual(checked(rules), rulesWith(rules))
})

test('a stopped experiment needs no version that is online, no declared attribute and no segment of its own', () => {
  const stopped = code('exp-1', { state: 'stopped', arms: [['a', 'v7', [], 0]], where: [{ attribute: 'city', op: 'equals', value: 'x' }] })
  checked({ experiments: [stopped, code('exp-2')] })
})

test('a scene that has stopped a thousand experiments can have another, and only that one is in force', () => {
  const stopped = Array.from({ length: 1000 }, (_, i) => code(`old-${i}`, { state: 'stopped' }))
  const layers = [
    layer('ui', ['color'], { experiments: [business('b-1', 'color'), business('b-2', 'color', { state: 'draft' })] }),
    layer('old', ['color'], { state: 'retired', experiments: [business('b-3', 'color')] }),
  ]
  const { experiments, layers: live } = rulesInForce(checked({ experiments: [...stopped, code('exp-1')], layers }))
  const ids = [experiments, ...live.map(each => each.experiments)].map(list => list.map(({ id }) => id))
  assert.deepEqual(ids, [['exp-1'], ['b-1']])
})

test('a version that is used cannot go offline, and the refusal names every use', () => {
  const rules = checked({
    whitelist: { v2: ['a', 'b'] },
    experiments: [code('exp-1')],
    layers: [layer('ui', ['color'], { experiments: [business('b-1', 'color', { versions: ['v2'] })] })],
  })
  assert.throws(() => checkOffline('v2', rules, context), {
    code: 'VERSION_IN_USE',
    message: /used by 2 unit ids of the whitelist, arm "treatment" of experiment "exp-1", the versions of experiment "b-1"/,
  })
  assert.throws(() => checkOffline('v1', undefined, context), { code: 'VERSION_IN_USE', message: /the baseline/ })
  checkOffline('v3', rules, context)
})

test('what a version is for follows from the rules', () => {
  const rules = checked({ loadtest: 'v3', cutover: { version: 'v2', share: 5, salt: 'c' } })
  assert.deepEqual(
    VERSIONS.map(version => kindOf(version, 'v1', rules)),
    ['baseline', 'cutover', 'loadtest', 'dev'],
  )
})

test('a whitelist file has a unit id and a version a line, or unit ids alone', () => {
  assert.deepEqual(parseWhitelist('\uFEFFu1,v2\r\nu2\tv3\nLee, Ann,v2\n用户,v3\nu1,v2\n'), { v2: ['u1', 'Lee, Ann'], v3: ['u2', '用户'] })
  assert.deepEqual(parseWhitelist('u1\nLee, Ann', 'v2'), { v2: ['u1', 'Lee, Ann'] })
  assert.deepEqual(parseWhitelist(''), {})
})

test('a whitelist file may be CSV, with quotes, a header and any line ends', () => {
  assert.deepEqual(parseWhitelist('"u1"\r"Lee, Ann"\r\n"say ""hi"""\n', 'v2'), { v2: ['u1', 'Lee, Ann', 'say "hi"'] })
  assert.deepEqual(parseWhitelist('"user_id","version"\n"u1","v2"\nu2,"v2"\n"u3"\tv3\n'), { v2: ['u1', 'u2'], v3: ['u3'] })
})

test('a whitelist file with more columns is refused by its header, and does not make unit ids of them', () => {
  for (const header of ['id,name,version', '"id"\t"name"\t"version"', 'id, name ,"Version"']) {
    assert.throws(() => parseWhitelist(`${header}\n1,Ann,v2\n`), { message: /line 1 names several columns before the version/ })
  }
  assert.deepEqual(parseWhitelist('"id, of whom",version\n1,v2\n'), { v2: ['1'] })
})

test('a whitelist is read back as it was written, whatever the unit ids are', () => {
  const unit = fc
    .string({ unit: fc.constantFrom('a', '"', ',', '{', '[', ' ', '\t', 'v2', ';', '中'), minLength: 1 })
    .map(text => text.trim())
  const whitelist = fc.uniqueArray(
    unit.filter(text => text !== ''),
    { maxLength: 9 },
  )
  fc.assert(
    fc.property(whitelist, units => {
      const entry = units.length === 0 ? {} : { v2: units }
      assert.deepEqual(parseWhitelist(whitelistText(entry)), entry)
    }),
  )
})

test('a whitelist file at fault is refused with the numbers of its lines', () => {
  const refused = (text: string, message: RegExp, version?: string) =>
    assert.throws(() => parseWhitelist(text, version), { code: 'WHITELIST_INVALID', message })
  refused('u1,v2\n\nu2,v2', /line 2 is empty/)
  refused(`u1,v2\n${'中'.repeat(86)},v2`, /line 2 has a unit id of 258 bytes, the limit is 256/)
  refused('u1,v2\nu2,v2\nu1,v3', /line 3 sends its unit to v3, line 1 sends it to v2/)
  refused('u1', /line 1 names no version/)
  refused(',v2', /line 1 has no unit id/)
  refused('u1,v2\n"u2,v2', /line 2 begins with a quote that does not end the unit id/)
  refused('"User ID"\n"u1"', /line 1 looks like the name of the column/, 'v2')
  refused('{"unit":"u1"}', /line 1 looks like JSON/, 'v2')
  refused('["u1"],v2', /line 1 looks like JSON/)
  refused('" u1 ",v2', /line 1 has a unit id with white space around it/)
  refused('u1,v2', /line 1 names version v2, and one was given for all/, 'v3')
  refused('\n'.repeat(20), /line 1 is empty; .*line 10 is empty; and 10 more/)
  refused(units(limits.scene.whitelistUnitsMax + 1).join('\n'), /over 100000 lines/, 'v2')
  refused(`${'\n'.repeat(limits.scene.whitelistUnitsMax)}u1,v2`, /over 100000 lines/)
  assert.equal(parseWhitelist(`${units(limits.scene.whitelistUnitsMax).join('\n')}\n`, 'v2').v2?.length, limits.scene.whitelistUnitsMax)
})
