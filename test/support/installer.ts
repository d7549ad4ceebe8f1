/** Somebody who has nothing of this project but a registry: an empty folder, and an environment in which npm asks that registry. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { type Registry, startRegistry } from './registry.ts'

export interface Installer extends AsyncDisposable {
  /** Empty at first. */
  readonly folder: string
  readonly env: NodeJS.ProcessEnv
  readonly registry: Registry
}

/** What npm is configured with here. */
interface Settings {
  /** The registry that has everything but the packages of this project. */
  readonly registry: string
  readonly cache: string
}

function npmSettings(): Settings {
  const text = execFileSync('npm', ['config', 'get', 'registry', 'cache'], { encoding: 'utf8', shell: process.platform === 'win32' })
  const values = new Map([...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]))
  return { registry: values.get('registry') ?? '', cache: values.get('cache') ?? '' }
}

/**
 * @param tarballs of the packages of this project
 * @param programs shell scripts by the names under which they are found first: other versions of npm
 */
export async function startInstaller(tarballs: readonly string[], programs: Readonly<Record<string, string>> = {}): Promise<Installer> {
  const settings = npmSettings()
  const registry = await startRegistry(tarballs, settings.registry)
  const above = realpathSync(mkdtempSync(join(tmpdir(), 'berth-install-')))
  const [folder, bin, cache] = ['empty', 'bin', 'npm'].map(name => join(above, name)) as [string, string, string]
  for (const made of [folder, bin, cache, join(settings.cache, '_cacache')]) mkdirSync(made, { recursive: true })
  // What was downloaded once is shared; what npx has installed is not, because the next packages have the same version.
  symlinkSync(join(settings.cache, '_cacache'), join(cache, '_cacache'), 'junction')
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(bin, name), 0o755)
  }
  return {
    folder,
    registry,
    env: { ...environment(bin), npm_config_registry: registry.url, npm_config_cache: cache },
    [Symbol.asyncDispose]: async () => {
      await registry[Symbol.asyncDispose]()
      await rm(above, { recursive: true, force: true })
    },
  }
}

/** The environment of this process, without what it has of this project and of whoever has started this process. */
function environment(bin: string): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^(BERTH_|npm_|NODE_COMPILE_CACHE$|NODE_OPTIONS$|INIT_CWD$)/.test(name))
  const path = (process.env.PATH ?? '').split(delimiter).filter(folder => !folder.includes('node_modules'))
  const answers = { npm_config_yes: 'true', npm_config_update_notifier: 'false' }
  return { ...Object.fromEntries(own), ...answers, PATH: [bin, ...path].join(delimiter), no_proxy: '127.0.0.1' }
}
