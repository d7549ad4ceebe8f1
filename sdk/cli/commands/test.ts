/** `sdk test`: runs the `node:test` files of modules, whose stages run in real slots; see testing.ts. */
import { existsSync, globSync, realpathSync, rmSync, statSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { run } from 'node:test'
import { pathToFileURL } from 'node:url'
import { messageOf } from '../../../base/kernel/errors.ts'
import { COVERAGE_FOLDER, type Counted, stopInFirstStage } from '../../author/rehearsal-process.ts'
import { locateModule, type Package, readPackage } from '../../bundle/manifest.ts'
import { checkTypes } from '../../bundle/type-check.ts'
import { exitCodes, SdkError } from '../../sdk-error.ts'
import { testHookPath } from '../../sdk-files.ts'
import { usage } from '../arguments.ts'
import { openDebugger } from '../debugging.ts'
import { describeRoot, watchSaves } from '../files/watch.ts'
import { colorsFor } from '../terminal/colors.ts'
import { failureDocument, failureText } from '../terminal/failure.ts'
import { whenInterrupted } from '../terminal/interruption.ts'
import { createOutput, type Output } from '../terminal/output.ts'
import { coverageOf, type FileCoverage, ranges } from '../views/coverage.ts'
import { createReport, type TestReport } from '../views/test-report.ts'

export interface TestOptions {
  readonly json?: boolean
  readonly watch?: boolean
  readonly coverage?: boolean
  /** Runs tests and stages in this process, for a debugger: one that has attached, or the first that comes. */
  readonly inspect?: boolean
  /** Regular expressions; only tests whose name one of them matches are run. */
  readonly only?: readonly string[]
}

type RunOptions = Pick<TestOptions, 'coverage' | 'inspect'> & { readonly only: readonly RegExp[] | undefined }

interface ModuleUnderTest {
  readonly name: string
  readonly contents: Package
  /** Absolute. */
  readonly folder: string
  readonly files: readonly string[]
}

/** Ends with exit code 1 when a test fails. With `watch` it goes on until it is interrupted. */
export async function test(folders: readonly string[], { json = false, ...options }: TestOptions): Promise<void> {
  const out = createOutput(json)
  const runOptions = { ...options, only: options.only?.map(patternOf) }
  if (json && options.watch) {
    throw usage('Cannot test: --json prints one document, and --watch has no end', 'Leave one of them out.')
  }
  const modules = await findModules(folders)
  if (options.inspect) await prepareDebugger(options)
  if (options.watch) {
    await runAgain(out, modules, runOptions)
    return
  }
  const { report, wrongTypes, coverage } = await runTests(out, modules, runOptions)
  if (options.only !== undefined && report.tests.length === 0) {
    const hint = 'Without --only all are run, and shown by name.'
    throw new SdkError('TESTS_NOT_FOUND', `Cannot test: no test is named like ${options.only.join(' or ')}`, {
      hint,
      exit: exitCodes.usage,
    })
  }
  const refused = wrongTypes.length === 0 ? {} : { types: wrongTypes.map(failureDocument) }
  out.result({ ...report, ...refused, ...(coverage && { coverage: coverage.map(asDocument) }) })
  if (report.failed + wrongTypes.length > 0) process.exitCode = exitCodes.refused
}

// What to run

async function findModules(folders: readonly string[]): Promise<ModuleUnderTest[]> {
  const named = folders.length > 0 ? folders : foldersHere()
  const modules = await Promise.all(named.map(findModule))
  if (modules.every(({ files }) => files.length === 0)) {
    const where = modules.map(({ folder }) => shown(folder)).join(', ')
    throw new SdkError('TESTS_NOT_FOUND', `Cannot test ${where}: there is no file whose name ends in .test.ts`, {
      hint: 'Write index.test.ts beside index.ts; "sdk init" makes a module with one to start from.',
      exit: exitCodes.usage,
    })
  }
  return modules
}

/** This folder, or the modules under it. */
function foldersHere(): string[] {
  if (isModule('.')) return ['.']
  const found = globSync('modules/*/package.json').map(path => join(path, '..'))
  const modules = found.filter(isModule).sort()
  if (modules.length > 0) return modules
  throw usage('Cannot test: there is no module in this folder, nor in "modules"', 'Name the folder of a module: sdk test modules/rank-lr')
}

function patternOf(text: string): RegExp {
  try {
    return new RegExp(text)
  } catch (error) {
    const hint = 'Write --only as for JavaScript, with a backslash before what is meant literally.'
    throw usage(`Cannot test: ${messageOf(error)}`, hint)
  }
}

const isModule = (folder: string): boolean => existsSync(join(folder, 'package.json')) && existsSync(join(folder, 'index.ts'))

async function findModule(path: string): Promise<ModuleUnderTest> {
  if (!existsSync(path)) {
    const hint = 'Name the folder of a module, or a file of it.'
    throw usage(`Cannot test "${path}": there is no such folder`, hint)
  }
  const file = statSync(path).isFile() ? realpathSync(path) : undefined
  const place = await locateModule(file === undefined ? path : folderAbove(file), false)
  const contents = await readPackage(place)
  const found = globSync('**/*.test.{ts,mts,js,mjs}', { cwd: place.folder, exclude: name => name === 'node_modules' })
  const files = found.sort().map(file => join(place.folder, file))
  const named = files.filter(found => found === file)
  return { name: contents.manifest.name, contents, folder: place.folder, files: named.length > 0 ? named : files }
}

/** The folder of the module that a file belongs to: the first with a package.json; else its own, about which the error will be. */
function folderAbove(file: string): string {
  const above = (folder: string): string | undefined => {
    if (existsSync(join(folder, 'package.json'))) return folder
    return dirname(folder) === folder ? undefined : above(dirname(folder))
  }
  return above(dirname(file)) ?? dirname(file)
}

const shown = (path: string): string => relative(process.cwd(), path) || '.'

// Running

interface Outcome {
  readonly report: TestReport
  readonly wrongTypes: readonly SdkError[]
  readonly coverage: readonly FileCoverage[] | undefined
}

async function runTests(
  out: Output,
  modules: readonly ModuleUnderTest[],
  { coverage = false, inspect = false, only }: RunOptions,
): Promise<Outcome> {
  const folder = coverage ? await mkdtemp(join(tmpdir(), 'berth-coverage-')) : undefined
  // Whoever looks for a fault in code wants to be stopped in it as soon as may be. Without --inspect the types are checked.
  const checking = Promise.all(inspect ? [] : modules.map(wrongTypesOf))
  try {
    const report = await runFiles(out, modules, folder, { inspect, only })
    const wrongTypes = (await checking).flatMap(error => error ?? [])
    for (const error of wrongTypes) process.stderr.write(`${failureText(error)}\n`)
    if (folder === undefined) return { report, wrongTypes, coverage: undefined }
    const files = coverageOf(await readCounts(folder))
    sayCoverage(out, files)
    return { report, wrongTypes, coverage: files }
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  }
}

/** What is wrong with the types of a module. The tests run meanwhile, since they run code whatever its types are. */
async function wrongTypesOf({ folder, contents }: ModuleUnderTest): Promise<SdkError | undefined> {
  try {
    await checkTypes(folder, contents, { color: colorsFor(process.stderr).isColorSupported })
    return undefined
  } catch (error) {
    if (error instanceof SdkError) return error
    throw error
  }
}

const hook = pathToFileURL(testHookPath).href

async function runFiles(
  out: Output,
  modules: readonly ModuleUnderTest[],
  coverageFolder: string | undefined,
  { inspect, only }: { readonly inspect: boolean; readonly only: RunOptions['only'] },
): Promise<TestReport> {
  // When a test runs this command, this variable would make the runner take itself for a part of that test, and run nothing.
  delete process.env.NODE_TEST_CONTEXT
  // Without this variable, the runner colours what tests print for terminals only.
  delete process.env.FORCE_COLOR
  const report = createReport(out, modules)
  const unwanted = new AbortController()
  // The runner ends the process of each file, and a slot ends with the process that opened it.
  const done = whenInterrupted(() => {
    unwanted.abort()
    if (coverageFolder !== undefined) rmSync(coverageFolder, { recursive: true, force: true })
  })
  const events = run({
    signal: unwanted.signal,
    files: modules.flatMap(({ files }) => files),
    ...(inspect ? ({ isolation: 'none' } as const) : ofItsOwn(coverageFolder)),
    ...(only && { testNamePatterns: only }),
  })
  try {
    for await (const event of events) report.take(event)
  } finally {
    done()
  }
  return report.end()
}

/** A process for each file. */
const ofItsOwn = (coverageFolder: string | undefined) => ({
  concurrency: true,
  execArgv: ['--disable-warning=ExperimentalWarning', '--import', hook],
  env: { ...process.env, ...(coverageFolder !== undefined && { [COVERAGE_FOLDER]: coverageFolder }) },
})

async function readCounts(folder: string): Promise<Counted[]> {
  const names = await readdir(folder)
  return Promise.all(names.map(async name => JSON.parse(await readFile(join(folder, name), 'utf8')) as Counted))
}

// Debugging

/** Resolves once a debugger has this process, where tests and stages will run. @throws SdkError USAGE, PORT_TAKEN */
async function prepareDebugger({ coverage, watch, json }: TestOptions): Promise<void> {
  const other = Object.entries({ coverage, watch, json }).find(([, isGiven]) => isGiven)?.[0]
  if (other !== undefined) throw usage(`Cannot test: --inspect does not go with --${other}`, 'Leave one of them out.')
  const isNew = await openDebugger()
  process.stderr.write('The stages run in this process for the debugger: not in a slot, and without its limits.\n')
  await import(hook)
  if (isNew) await stopInFirstStage()
}

// Watching

/** Runs the tests of each module by itself, now and at every save in its folder. */
async function runAgain(out: Output, modules: readonly ModuleUnderTest[], options: RunOptions): Promise<void> {
  const folders = modules.map(({ folder }) => folder)
  const runModule = async (folder: string): Promise<readonly string[]> => {
    try {
      await runTests(out, [await findModule(folder)], options)
    } catch (error) {
      // A file may be half written; the next save runs the tests again.
      if (!(error instanceof SdkError)) throw error
      process.stderr.write(`${failureText(error)}\n`)
    }
    out.next('Waiting for a save. Ctrl-C ends.')
    return []
  }
  const saves = await watchSaves({
    roots: folders,
    subjectOf: path => folders.find(folder => path.startsWith(folder + sep)),
    onSave: runModule,
    onRoot: event => out.warn(describeRoot(event)),
  })
  await Promise.all(folders.map(folder => saves.saved(folder)))
}

// Coverage

function sayCoverage(out: Output, files: readonly FileCoverage[]): void {
  out.say('')
  out.table(
    ['file', 'lines', 'functions', 'not run', 'partly'],
    files.map(file => {
      const { lines, functions, partly, path } = file
      const hasCode = (line: number) => lines.has(line)
      return [
        shown(path),
        share([...lines.values()]),
        share(functions.map(({ count }) => count)),
        ranges(notRun(file), hasCode),
        ranges(partly, hasCode),
      ]
    }),
  )
}

const notRun = ({ lines }: FileCoverage): number[] => [...lines].filter(([, count]) => count === 0).map(([line]) => line)

/** A share such as `92 % (12/13)`. */
function share(counts: readonly number[]): string {
  const run = counts.filter(count => count > 0).length
  return counts.length === 0 ? '-' : `${Math.floor((100 * run) / counts.length)} % (${run}/${counts.length})`
}

function asDocument(file: FileCoverage): object {
  const { path, lines, partly, functions } = file
  return { file: shown(resolve(path)), lines: Object.fromEntries(lines), notRun: notRun(file), partly, functions }
}
