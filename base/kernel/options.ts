/** The options of an operator: one schema, from which the flags, the environment variables, the help text and every check derive. */
import { isIP } from 'node:net'
import { dirname, resolve } from 'node:path'
import Type, { type Static, type TNumberOptions, type TSchema } from 'typebox'
import { Value } from 'typebox/value'
import { compileCheck } from './check.ts'
import { CONFIG_FILE, CONFIG_VARIABLE, type ConfigFile, type ConfigMembers, parseConfig, readConfig } from './config-file.ts'
import { BerthError } from './errors.ts'
import { logLevels } from './log.ts'
import { type Machine, thisMachine } from './machine.ts'
import { CELLS_MAX, completeCells } from './memory-plan.ts'
import { nearest } from './nearest.ts'
import { wallModes } from './wall-plan.ts'

const defaultsHere = completeCells(thisMachine, {})

/** An integer option always has both bounds, so that an error message can name the range. */
const integer = (minimum: number, maximum: number, defaultValue: number, description: string) =>
  Type.Integer({ minimum, maximum, default: defaultValue, description })
const text = (defaultValue: string, description: string) => Type.String({ minLength: 1, default: defaultValue, description })

/**
 * What a base is for. One that is serving changes who answers only when somebody says so. On one for development, what is saved in an editor is what
 * everybody gets.
 */
export const baseModes = ['serving', 'development'] as const
export type BaseMode = (typeof baseModes)[number]

/** Which requests a base captures, beside what each scene says about its own. */
export const capsuleModes = ['sampled', 'asked', 'off'] as const

export const OptionsSchema = Type.Object({
  port: integer(0, 65_535, 8080, 'port where scenes answer; 0 lets the system choose'),
  host: text('127.0.0.1', 'address where scenes answer'),
  controlPort: integer(0, 65_535, 8081, 'port of the control API, its pages and /metrics; 0 lets the system choose'),
  controlHost: text('127.0.0.1', 'address of the control API'),
  data: text('./.berth', 'data folder; made when it is missing'),
  mode: Type.Enum(baseModes, {
    default: 'serving',
    description: 'what the base is for: serving callers, or development, where each save of "sdk dev" is what everybody gets',
  }),
  cells: integer(1, CELLS_MAX, defaultsHere.cells, 'number of serving processes'),
  logLevel: Type.Enum(logLevels, { default: 'info', description: 'least level that is logged' }),
  bodyLimitBytes: integer(1024, 64 * 1024 ** 2, 1024 ** 2, 'bytes a request body on the scene port may have'),
  cellMemoryMB: integer(
    64,
    1024 ** 2,
    defaultsHere.cellMemoryMB,
    'resident MB above which a cell is retired; a quarter above that it is killed',
  ),
  capsules: Type.Enum(capsuleModes, {
    default: 'sampled',
    description:
      'which requests are captured: a sample, as each scene says, and those that ask for it (sampled), only these (asked), or none (off)',
  }),
  wall: Type.Enum(wallModes, {
    default: 'auto',
    description:
      'confine the processes that run modules as far as this machine can (auto), not at all (off), or wholly or do not start (require)',
  }),
})

/** Members that only a config file can have; there are no flags or variables for them. */
const FileSchema = Type.Object({
  services: Type.Array(
    Type.Object(
      {
        name: Type.String({ pattern: '^[a-z][A-Za-z0-9]{0,63}$' }),
        file: Type.String({ minLength: 1 }),
        options: Type.Record(Type.String(), Type.Unknown(), { default: {} }),
      },
      { additionalProperties: false },
    ),
    { default: [], maxItems: 64 },
  ),
  fetchPrivate: Type.Array(
    Type.String({ pattern: '^[0-9a-f.:]+(/[0-9]{1,3})?$', description: 'an address, or a network such as 10.0.0.0/8' }),
    {
      default: [],
      maxItems: 64,
    },
  ),
})
const checkFileMembers = compileCheck(FileSchema)

/** A base service that the config file lists; `file` is an absolute path. */
export type ServiceEntry = Readonly<Static<typeof FileSchema>['services'][number]>

/** The options of a base, checked and complete; `data` is an absolute path. */
export type Options = Readonly<Static<typeof OptionsSchema>> & {
  readonly services: readonly ServiceEntry[]
  /** Private addresses and networks that modules may fetch from nevertheless. */
  readonly fetchPrivate: readonly string[]
}
export type OptionName = keyof Static<typeof OptionsSchema>

/** Name of the service that every base has. */
export const FEATURES = 'features'

/** Names of the services that modules may use. */
export const offeredServices = ({ services }: Pick<Options, 'services'>): string[] => [FEATURES, ...services.map(({ name }) => name)]

export interface OptionRow {
  readonly name: OptionName
  /** `--control-port` */
  readonly flag: string
  /** `BERTH_CONTROL_PORT` */
  readonly variable: string
  readonly description: string
  readonly default: string
}

/** Every option with its flag and its variable, in the order of the help text. */
export const optionRows: readonly OptionRow[] = (Object.keys(OptionsSchema.properties) as OptionName[]).map(name => {
  const words = name.replace(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase()
  const schema: TSchema & { description?: string; default?: unknown } = OptionsSchema.properties[name]
  return {
    name,
    flag: `--${words}`,
    variable: `BERTH_${words.replaceAll('-', '_').toUpperCase()}`,
    description: schema.description ?? '',
    default: String(schema.default),
  }
})

/** Environment variables of the same prefix that the sdk reads. */
const sdkVariables: readonly string[] = ['BERTH_TOKEN', 'BERTH_BASE', 'BERTH_DEBUG']

export interface OptionSources {
  /** Values by option name, as given on the command line. */
  readonly flags: Readonly<Record<string, string | undefined>>
  /** The whole environment; only variables named `BERTH_*` are read. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly file?: ConfigFile | undefined
  /** What the defaults follow from. @default this machine */
  readonly machine?: Pick<Machine, 'memoryMB' | 'memoryFile' | 'cores'>
}

/**
 * Resolves the options: a flag overrides the environment, which overrides the config file, which overrides the defaults. Every given value is
 * checked, even one that is overridden. A relative data folder starts from the working directory; in a config file, from the file's folder.
 * @throws {BerthError} `OPTION_UNKNOWN`, `OPTION_INVALID` or `CONFIG_UNREADABLE`; the message names the source
 */
export function resolveOptions(sources: OptionSources): Options {
  const members = sources.file ? parseConfig(sources.file) : {}
  const given = [...(sources.file ? fromFile(members, sources.file) : []), ...fromEnvironment(sources.env), ...fromFlags(sources.flags)]
  const values: Record<string, unknown> = {}
  for (const item of given) values[item.name] = checked(item)
  const complete = Value.Default(OptionsSchema, { ...values }) as Static<typeof OptionsSchema>
  const options = { ...complete, ...completeCells(sources.machine ?? thisMachine, values) }
  refuseSharedPort(options)
  return {
    ...options,
    data: resolve(options.data),
    ...(sources.file ? fileMembers(members, sources.file) : { services: [], fetchPrivate: [] }),
  }
}

/**
 * Reads the config file and resolves the options with it. The file is the one that `config` or `BERTH_CONFIG` names, else `berth.config.json`
 * in `cwd` if that exists.
 * @throws {BerthError} the errors of `resolveOptions`
 */
export function loadOptions(flags: OptionSources['flags'], env: OptionSources['env'], cwd: string, config?: string): Options {
  const named = config ?? env[CONFIG_VARIABLE]
  const path = resolve(cwd, named ?? CONFIG_FILE)
  return resolveOptions({ flags, env, file: readConfig(path, named !== undefined) })
}

interface Given {
  readonly name: OptionName
  readonly value: unknown
  /** How the source spells the option: a flag, a variable or a member of the config file. */
  readonly label: string
  /** Which source it came from, as the end of a phrase; empty when the label shows it. */
  readonly origin: string
}

function fromFlags(flags: OptionSources['flags']): Given[] {
  return Object.entries(flags).flatMap(([name, value]) => {
    if (value === undefined) return []
    const row = optionRows.find(row => row.name === name)
    if (!row)
      throw unknownOption(
        `--${name}`,
        '',
        optionRows.map(row => row.flag),
      )
    return { name: row.name, value: fromText(row.name, value), label: row.flag, origin: '' }
  })
}

function fromEnvironment(env: OptionSources['env']): Given[] {
  return Object.entries(env).flatMap(([variable, value]) => {
    if (value === undefined || !variable.startsWith('BERTH_') || variable === CONFIG_VARIABLE || sdkVariables.includes(variable)) return []
    const row = optionRows.find(row => row.variable === variable)
    if (!row)
      throw unknownOption(
        variable,
        ' of the environment',
        optionRows.map(row => row.variable),
      )
    return { name: row.name, value: fromText(row.name, value), label: variable, origin: '' }
  })
}

function fromFile(members: ConfigMembers, file: ConfigFile): Given[] {
  return Object.entries(members).flatMap(([key, value]) => {
    if (key in FileSchema.properties) return []
    const row = optionRows.find(row => row.name === key)
    if (!row) throw unknownOption(key, ` of "${file.path}"`, [...optionRows.map(row => row.name), ...Object.keys(FileSchema.properties)])
    const absolute = row.name === 'data' && typeof value === 'string' && value !== '' ? resolve(dirname(file.path), value) : value
    return { name: row.name, value: absolute, label: key, origin: ` of "${file.path}"` }
  })
}

function fileMembers(members: ConfigMembers, file: ConfigFile): Pick<Options, 'services' | 'fetchPrivate'> {
  return { services: servicesIn(members, file), fetchPrivate: networksIn(members, file) }
}

/** Resolves the files of services against the folder of the config file. Whether they exist is found out when a cell starts them. */
function servicesIn({ services }: ConfigMembers, file: ConfigFile): ServiceEntry[] {
  const { value, faults } = checkFileMembers(services === undefined ? {} : { services })
  const refusal = (why: string) => new BerthError('OPTION_INVALID', `Cannot use services of "${file.path}": ${why}`)
  if (faults !== undefined) throw refusal(faults.join('; '))
  const names = offeredServices(value)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw refusal(twice === FEATURES ? `"${FEATURES}" is in every base already` : `two are named "${twice}"`)
  return value.services.map(service => ({ ...service, file: resolve(dirname(file.path), service.file) }))
}

function networksIn({ fetchPrivate }: ConfigMembers, file: ConfigFile): string[] {
  const { value, faults } = checkFileMembers(fetchPrivate === undefined ? {} : { fetchPrivate })
  const refusal = (why: string) => new BerthError('OPTION_INVALID', `Cannot use fetchPrivate of "${file.path}": ${why}`)
  if (faults !== undefined) throw refusal(faults.join('; '))
  const wrong = value.fetchPrivate.find(network => !isNetwork(network))
  if (wrong !== undefined) throw refusal(`"${wrong}" is neither an address nor a network such as 10.0.0.0/8`)
  return value.fetchPrivate
}

function isNetwork(network: string): boolean {
  const [address = '', bits] = network.split('/')
  const family = isIP(address)
  return family !== 0 && Number(bits ?? 0) <= (family === 4 ? 32 : 128)
}

/** Flags and variables are strings. One that does not look like an integer stays a string, and fails the check if an integer is needed. */
function fromText(name: OptionName, value: string): unknown {
  return Type.IsInteger(OptionsSchema.properties[name]) && /^-?\d+$/.test(value) ? Number(value) : value
}

function checked({ name, value, label, origin }: Given): unknown {
  const schema = OptionsSchema.properties[name]
  if (Value.Check(schema, value)) return value
  throw new BerthError('OPTION_INVALID', `Cannot use ${label} ${JSON.stringify(value)}${origin}: must be ${expectation(schema)}`)
}

function expectation(schema: TSchema): string {
  const { minimum, maximum } = schema as TSchema & TNumberOptions
  if (Type.IsInteger(schema)) return `an integer from ${minimum} to ${maximum}`
  return Type.IsEnum(schema) ? `one of ${schema.enum.join(', ')}` : 'a text that is not empty'
}

const everyAddress: readonly string[] = ['0.0.0.0', '::']

function refuseSharedPort({ port, host, controlPort, controlHost }: Static<typeof OptionsSchema>): void {
  if (port === 0 || port !== controlPort) return
  const overlap = host === controlHost || everyAddress.includes(host) || everyAddress.includes(controlHost)
  if (!overlap) return
  const control = optionRows.find(row => row.name === 'controlPort')
  throw new BerthError('OPTION_INVALID', `Cannot use ${control?.flag} ${controlPort}: scenes answer on this port of the same host already`)
}

function unknownOption(name: string, origin: string, known: readonly string[]): BerthError {
  const near = nearest(name, known)
  return new BerthError('OPTION_UNKNOWN', `Cannot use ${name}${origin}: no such option${near ? `; did you mean ${near}?` : ''}`)
}
