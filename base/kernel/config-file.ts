/** The config file of a base, before its members are checked. */
import { BerthError, messageOf } from './errors.ts'
import { parseUnrounded } from './exact-json.ts'
import { readTextFileSync, unreadable } from './text-file.ts'

export const CONFIG_FILE = 'berth.config.json'
/** Names the file, where it is another one. */
export const CONFIG_VARIABLE = 'BERTH_CONFIG'

export interface ConfigFile {
  /** Absolute path. */
  readonly path: string
  readonly text: string
}

export type ConfigMembers = Readonly<Record<string, unknown>>

/** @returns undefined when the file is missing and not `required`. @throws {BerthError} `CONFIG_UNREADABLE` */
export function readConfig(path: string, required: boolean): ConfigFile | undefined {
  try {
    return { path, text: readTextFileSync(path) }
  } catch (error) {
    const { reason, message, hint } = unreadable(error)
    if (!required && reason === 'missing') return undefined
    throw new BerthError('CONFIG_UNREADABLE', `Cannot read the config file "${path}": ${message}. ${hint}`, { cause: error })
  }
}

/** @throws {BerthError} `CONFIG_UNREADABLE` */
export function parseConfig(file: ConfigFile): ConfigMembers {
  const refusal = (why: string, cause?: unknown) => new BerthError('CONFIG_UNREADABLE', `Cannot use "${file.path}": ${why}`, { cause })
  let value: unknown
  try {
    value = parseUnrounded(file.text)
  } catch (error) {
    throw refusal(messageOf(error), error)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refusal('it is not one JSON object')
  return value as ConfigMembers
}
