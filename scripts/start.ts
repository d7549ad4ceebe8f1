/** `npm start`: a base with the example modules and scenes on it. Takes the options of `base start`. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { runCli } from '../base/cli.ts'
import type { Options } from '../base/kernel/options.ts'
import type { Base } from '../base/supervisor/supervisor.ts'

const publisher = fileURLToPath(new URL('publish-examples.ts', import.meta.url))

await runCli(['start', ...process.argv.slice(2)], async (base, options) => {
  await base.ready
  publishExamples(base, options)
})

/** In a process of its own: the supervisor stays small, and whatever goes wrong there, the base serves on. */
function publishExamples({ controlPort }: Base, { controlHost, data }: Options): void {
  // The token of this base is in its data folder; one in the environment may be for another.
  const { BERTH_TOKEN: _, ...env } = process.env
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', publisher], {
    env: { ...env, BERTH_BASE: controlUrl(controlHost, controlPort), BERTH_DATA: data },
    // Standard output belongs to the log of the base, one JSON object a line when it is no terminal.
    stdio: ['ignore', 2, 2],
  })
  child.on('error', error => process.stderr.write(`Cannot publish the example modules: ${error.message}\n`))
}

function controlUrl(host: string, port: number): string {
  const reachable = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}
