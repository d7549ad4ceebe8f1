/** `npm start`: a base with the example modules and scenes on it. Takes the options of `base start`. */
import { spawn } from 'node:child_process'
import { copyFile, mkdir, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runCli } from '../base/cli.ts'
import { featuresPath } from '../base/folder/paths.ts'
import type { Options } from '../base/kernel/options.ts'
import type { Base } from '../base/supervisor/supervisor.ts'

const examples = fileURLToPath(new URL('../fixtures/features', import.meta.url))
const publisher = fileURLToPath(new URL('publish-examples.ts', import.meta.url))

await runCli(['start', ...process.argv.slice(2)], async (base, options) => {
  await base.ready
  await installFeatures(featuresPath(options.data))
  publishExamples(base, options)
})

/** Puts the example tables where the base looks for them. A table that is there already is its operator's and stays as it is. */
async function installFeatures(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const there = await readdir(folder)
  for (const file of (await readdir(examples)).filter(file => !there.includes(file))) {
    // Renamed into place: the base never sees half a file.
    await copyFile(join(examples, file), join(folder, `.${file}.new`))
    await rename(join(folder, `.${file}.new`), join(folder, file))
  }
}

/**
 * In a process of its own: the supervisor stays small, and whatever goes wrong there, the base serves on. It watches for saves as long as its
 * channel to this process is open.
 */
function publishExamples({ controlPort }: Base, { controlHost, data }: Options): void {
  // The token of this base is in its data folder; one in the environment may be for another.
  const { BERTH_TOKEN: _, ...env } = process.env
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', publisher], {
    env: { ...env, BERTH_BASE: controlUrl(controlHost, controlPort), BERTH_DATA: data },
    // Standard output belongs to the log of the base, one JSON object a line when it is no terminal.
    stdio: ['ignore', 2, 2, 'ipc'],
  })
  child.unref()
  child.channel?.unref()
  child.on('error', error => process.stderr.write(`Cannot publish the example modules: ${error.message}\n`))
}

function controlUrl(host: string, port: number): string {
  const reachable = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}
