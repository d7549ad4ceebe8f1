/**
 * Shares, arms, conditions and parameters as people type them, read into what the control API takes. Pure. What cannot be read is wrong
 * usage.
 */

import type { Share } from '../../base/contract/common-api.ts'
import type { NewArm, NewExperiment } from '../../base/contract/experiment-api.ts'
import type { NewVersion } from '../../base/contract/version-api.ts'
import { messageOf } from '../../base/kernel/errors.ts'
import { checkNumbers } from '../../base/kernel/exact-json.ts'
import { BUCKETS } from '../../base/traffic/hash.ts'
import type { Params } from '../../base/traffic/schema.ts'
import { exitCodes, SdkError } from '../sdk-error.ts'

/**
 * An error in what was typed.
 * @param hint what to type instead, one sentence
 */
export function usage(message: string, hint: string): SdkError {
  return new SdkError('USAGE', message, { hint, exit: exitCodes.usage })
}

/**
 * Reads a share: `12.5%` is 1250.
 * @throws SdkError USAGE for what is no percentage from 0% to 100% with at most two decimals
 */
export function parseShare(text: string): Share {
  const wrong = (why: string, hint: string) => usage(`Cannot take "${text}" as a share: ${why}`, hint)
  const [, whole, decimals = '', sign] = /^\s*(\d{1,9})(?:\.(\d+))?\s*(%?)\s*$/.exec(text) ?? []
  if (whole === undefined) throw wrong('it is no percentage', 'Write a percentage from 0% to 100%, such as 12.5%.')
  if (sign !== '%') throw wrong('it has no % sign', `Write ${suggestions(Number(`${whole}.${decimals || '0'}`)).join(' or ')}.`)
  if (decimals.length > 2) throw wrong('it has more than two decimals', 'The smallest share is 0.01%.')
  const share = Number(whole) * 100 + Number(decimals.padEnd(2, '0'))
  if (share > BUCKETS) throw wrong('it is over 100%', 'Write a percentage from 0% to 100%, such as 12.5%.')
  return share
}

/** Guesses what was meant: `0.2` may be a fraction. */
function suggestions(number: number): string[] {
  if (number > 100) return ['a percentage from 0% to 100%']
  return number > 0 && number < 1 ? [`${number}%`, `${Number((number * 100).toFixed(2))}%`] : [`${number}%`]
}

/** Splits `name=rest` at the first `=`. */
function named(text: string, what: string, example: string): [name: string, rest: string] {
  const at = text.indexOf('=')
  const name = text.slice(0, at).trim()
  if (at > 0 && name !== '') return [name, text.slice(at + 1).trim()]
  throw usage(`Cannot take "${text}" as ${what}: it has no "="`, `Write it like ${example}.`)
}

/**
 * An object of what `read` makes of each text.
 * @throws SdkError USAGE for a name that occurs twice
 */
function collect<T>(texts: readonly string[], what: string, example: string, read: (rest: string, name: string) => T): Record<string, T> {
  const collected = new Map<string, T>()
  for (const text of texts) {
    const [name, rest] = named(text, what, example)
    if (collected.has(name)) throw usage(`Cannot take "${text}": "${name}" is given twice`, 'Give it once.')
    collected.set(name, read(rest, name))
  }
  return Object.fromEntries(collected)
}

/** Shares by arm, read from `treatment=20%`. */
export function parseShares(texts: readonly string[]): Record<string, Share> {
  return collect(texts, 'the share of an arm', 'treatment=20%', parseShare)
}

/** Values of attributes, read from `country=CN`. The base reads each as the type that the scene declares. */
export function parseAttributes(texts: readonly string[]): Record<string, string> {
  return collect(texts, 'an attribute', 'country=CN', value => value)
}

/** Parameters, read from `topK=5` and `mode='"fast"'`: values are JSON. */
export function parseParams(texts: readonly string[]): Params {
  return collect(texts, 'a parameter', 'topK=5', (value, name) => parseJson(value, `${name}=${value}`))
}

function parseJson(text: string, whole: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw usage(
      `Cannot take "${whole}": ${text === '' ? 'nothing' : text} is no JSON`,
      `Write a text in quotes: '${whole.split('=')[0]}="${text}"'.`,
    )
  }
  checkRounding(text, whole)
  return value
}

/** @param json of `whole`, which was typed */
function checkRounding(json: string, whole: string): void {
  try {
    checkNumbers(json)
  } catch (error) {
    throw usage(`Cannot take "${whole}": ${messageOf(error)}`, 'Write large numbers in quotes, as texts.')
  }
}

/**
 * Reads a whole number from 1.
 * @throws SdkError USAGE
 */
export function parseNumber(text: string, what: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw usage(`Cannot take "${text}" as ${what}: it is no number`, 'Write a whole number after the option, and everything else before it.')
}

/** @throws SdkError USAGE for what is not written like `v4` */
export function parseVersion(text: string): string {
  if (VERSION.test(text)) return text
  const hint = /^[1-9]\d{0,8}$/.test(text) ? `Write v${text}.` : '"sdk version list" lists the versions of a scene.'
  throw usage(`Cannot take "${text}" as a version: versions are written v1, v2, and so on`, hint)
}

const VERSION = /^v[1-9]\d{0,8}$/

/** What an arm means: `v4`, or in a layer `{"topK":5}`. */
export type Meaning = Pick<NewArm, 'version' | 'values'>

/** Meanings by arm, read from `treatment=v5`. */
export function parseMeanings(texts: readonly string[]): Record<string, Meaning> {
  return collect(texts, 'what an arm means', 'treatment=v4', parseMeaning)
}

/** Arms in their order, read from `control=v3:50%`, or in a layer from `a={"topK":5}:50%`. */
export function parseArms(texts: readonly string[]): NewArm[] {
  const example = 'treatment=v4:50%'
  const arms = collect(texts, 'an arm', example, (rest, name) => {
    const [meaning, share] = splitShare(rest)
    if (share === undefined) throw usage(`Cannot take "${name}=${rest}" as an arm: it has no share`, `Write it like ${example}.`)
    return { ...parseMeaning(meaning, name), share: parseShare(share) }
  })
  return Object.entries(arms).map(([name, arm]) => ({ name, ...arm }))
}

/** The share is after the last colon, unless that colon is part of JSON. */
function splitShare(text: string): [meaning: string, share?: string] {
  const at = text.lastIndexOf(':')
  const share = text.slice(at + 1)
  return at === -1 || /["}\]]/.test(share) ? [text] : [text.slice(0, at).trim(), share]
}

function parseMeaning(text: string, arm: string): Meaning {
  if (VERSION.test(text)) return { version: text }
  const hint = `Write a version, such as ${arm}=v4, or in a layer parameters as JSON: ${arm}='{"topK":5}'.`
  if (!text.startsWith('{')) throw usage(`Cannot take "${arm}=${text}": "${text}" is no version`, hint)
  let values: Params
  try {
    values = JSON.parse(text)
  } catch (error) {
    throw usage(`Cannot take "${arm}=${text}": ${text} is no JSON: ${messageOf(error)}`, hint)
  }
  checkRounding(text, `${arm}=${text}`)
  return { values }
}

// Conditions

type Condition = NonNullable<NewExperiment['where']>[number]

const ops: ReadonlyMap<string, Condition['op']> = new Map([
  ['=', 'equals'],
  ['==', 'equals'],
  ['<', 'lt'],
  ['<=', 'lte'],
  ['>', 'gt'],
  ['>=', 'gte'],
  ...(['equals', 'in', 'lt', 'lte', 'gt', 'gte', 'range'] as const).map(op => [op, op] as const),
])

/** The signs that `parseCondition` reads. */
const signs: Readonly<Record<Condition['op'], string>> = { equals: '=', in: 'in', lt: '<', lte: '<=', gt: '>', gte: '>=', range: 'range' }

/**
 * Reads `country in CN,US`, `app >= 8.2.0`, `app range >=8.2 <9`, `vip = true`. Only the base knows whether the condition suits the
 * attribute.
 * @throws SdkError USAGE
 */
export function parseCondition(text: string): Condition {
  const wrong = (why: string, hint: string) => usage(`Cannot take "${text}" as a condition: ${why}`, hint)
  const example = 'Write an attribute, one of = in < <= > >= range, and a value: country in CN,US.'
  const match = /^\s*([a-zA-Z]\w*)(?:\s*([=<>!~]+)|\s+([a-z]+)(?=\s|$))\s*(.*?)\s*$/s.exec(text)
  if (match === null) throw wrong('it compares nothing', example)
  const [, name = '', symbol, word, value = ''] = match
  const op = ops.get(symbol ?? word ?? '')
  if (symbol === '!=')
    throw wrong('"!=" does not exist, so that nobody takes part by accident', 'List the values that do take part: country in CN,US.')
  if (op === undefined) throw wrong(`"${symbol ?? word}" is no comparison`, example)
  if (value === '') throw wrong('it has no value', example)
  return { attribute: name, op, value: op === 'in' ? listed(value) : compared(op, value) }
}

/** Reads `CN,US`; values with commas in them are written as JSON. */
function listed(text: string): (string | number | boolean)[] {
  if (!text.startsWith('[')) return text.split(',').map(value => value.trim())
  let values: (string | number | boolean)[]
  try {
    values = JSON.parse(text)
  } catch {
    throw usage(`Cannot take ${text} as a list: it is no JSON`, 'Write CN,US, or JSON: ["CN","US"].')
  }
  checkRounding(text, text)
  return values
}

/** What is compared by size becomes a number where it reads as one. The base reads everything else as the attribute's type. */
function compared(op: Condition['op'], text: string): string | number {
  const isNumber = op !== 'equals' && op !== 'range' && Number.isFinite(Number(text))
  return isNumber ? Number(text) : text
}

/** A condition in the form that `parseCondition` reads. */
export function showCondition({ attribute, op, value }: Condition): string {
  const values = [value].flat()
  const shown = values.some(each => String(each).includes(',')) ? JSON.stringify(values) : values.join(',')
  return `${attribute} ${signs[op]} ${shown}`
}

// Units

/** Unit ids, read from `u1,u2`, which may be given several times. */
export function parseUnits(texts: readonly string[]): string[] {
  const units = texts.flatMap(text => text.split(',')).map(unit => unit.trim())
  if (units.includes('')) throw usage(`Cannot take "${texts.join(' ')}" as unit ids: one is empty`, 'Write them like u1,u2.')
  return [...new Set(units)]
}

// Parts

/** The part that a new version gets, as it is typed. */
export interface PartOptions {
  readonly as?: NewVersion['as']
  /** The share of a cutover. */
  readonly share?: string
  /** Unit ids; each text holds one or several. */
  readonly whitelist?: readonly string[]
}

export type Part = Pick<NewVersion, 'as' | 'share' | 'whitelist'>

/** @throws SdkError USAGE */
export function parsePart({ as, share, whitelist }: PartOptions): Part {
  if (share !== undefined && as !== 'cutover') throw usage('Cannot take --share: only a cutover has one', 'Add --as cutover.')
  return {
    ...(as && { as }),
    ...(share !== undefined && { share: parseShare(share) }),
    ...(whitelist && { whitelist: parseUnits(whitelist) }),
  }
}

/**
 * Reads the part of new versions where scenes are named beside it.
 * @throws SdkError USAGE, also when there is a part and no scene
 */
export function parsePartIn({ scene, ...options }: PartOptions & { readonly scene?: readonly string[] }): Part {
  const part = parsePart(options)
  const [given] = Object.keys(part)
  if (given === undefined || scene !== undefined) return part
  throw usage(`Cannot take --${given} without --scene: modules by themselves answer nobody`, 'Name the scenes with --scene.')
}
