/** `npm start`: starts a base with the example modules and scenes. It takes the options of `base start`. */
import { spawn } from 'node:child_process'
import { copyFile, mkdir, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runCli } from '../base/cli.ts'
import { urlOf } from '../base/folder/base-address.ts'
import { featuresPath } from '../base/folder/paths.ts'
import type { Options } from '../base/kernel/options.ts'
import type { Base } from '../base/supervisor/supervisor.ts'

const examples = fileURLToPath(new URL('../fixtures/features', import.meta.url))
const publisher = fileURLToPath(new URL('publish-examples.ts', import.meta.url))

await runCli(['start', '--mode', 'development', ...process.argv.slice(2)], async (base, options) => {
  await installFeatures(featuresPath(options.data))
  await publishExamples(base, options)
})

/** Copies the example feature tables into the data folder. A table that is there already belongs to the operator, and is not replaced. */
async function installFeatures(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const tableOf = (file: string) => file.replace(/\.\w+$/, '')
  const there = (await readdir(folder)).map(tableOf)
  for (const file of (await readdir(examples)).filter(file => !there.includes(tableOf(file)))) {
    // The file is renamed into place, so that the base never sees half of it.
    await copyFile(join(examples, file), join(folder, `.${file}.new`))
    await rename(join(folder, `.${file}.new`), join(folder, file))
  }
}

/**
 * Publishes the examples in a separate process, so that the supervisor stays small and the base goes on serving whatever goes wrong there. That
 * process watches for saves as long as its channel to this one is open.
 * @returns when what can be published is published: an example with a fault is reported and left out
 */
async function publishExamples({ controlPort }: Base, { controlHost, data }: Options): Promise<void> {
  // The token of this base is in its data folder; one in the environment may be for another base.
  const { BERTH_TOKEN: _, ...env } = process.env
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', publisher], {
    env: { ...env, BERTH_BASE: urlOf(controlHost, controlPort), BERTH_DATA: data },
    // Its output goes to standard error, because standard output is for the log of the base: JSON lines, unless it is a terminal.
    stdio: ['ignore', 2, 2, 'ipc'],
  })
  child.unref()
  child.channel?.unref()
  const over = new Promise<string>(resolve => {
    child.once('error', error => resolve(error.message))
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
  })
  void over.then(how => {
    // These reach the whole group from a terminal, and the base stops as well.
    if (how === 'SIGINT' || how === 'SIGHUP') return
    process.stderr.write(
      `Saves are not brought online any more: the process that publishes them has ended (${how}). Start again with npm start.\n`,
    )
  })
  await Promise.race([over, new Promise(published => child.once('message', published))])
}
