/** Somebody who has nothing of this project but a registry: an empty folder, and an environment in which npm asks that registry. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { BuiltPackages } from '../../scripts/packages/packages.ts'
import { type Registry, startRegistry } from './registry.ts'

export interface Installer extends AsyncDisposable {
  /** Empty at first. */
  readonly folder: string
  readonly env: NodeJS.ProcessEnv
  readonly registry: Registry
}

/** What the registry and the way to it need of the configuration of npm. All else is as it is for somebody who has configured nothing. */
const networkSettings = ['cafile', 'proxy', 'https-proxy', 'noproxy', 'strict-ssl']

function npmSettings(): ReadonlyMap<string, string> {
  const names = ['registry', 'cache', ...networkSettings]
  const text = execFileSync('npm', ['config', 'get', ...names], { encoding: 'utf8', shell: process.platform === 'win32' })
  const values = [...text.matchAll(/^([\w-]+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value] as const)
  return new Map(values.filter(([, value]) => value !== '' && value !== 'null'))
}

/**
 * @param packages of this project, which the registry has
 * @param programs shell scripts by the names under which they are found first: other versions of npm
 */
export async function startInstaller(packages: BuiltPackages, programs: Readonly<Record<string, string>> = {}): Promise<Installer> {
  const settings = npmSettings()
  const tarballs = Object.values(packages).map(({ tarball }) => tarball)
  const registry = await startRegistry(tarballs, settings.get('registry') ?? '')
  const above = realpathSync(mkdtempSync(join(tmpdir(), 'berth-install-')))
  const [folder, bin, cache] = ['empty', 'bin', 'npm'].map(name => join(above, name)) as [string, string, string]
  const downloads = join(settings.get('cache') ?? above, '_cacache')
  for (const made of [folder, bin, cache, downloads]) mkdirSync(made, { recursive: true })
  // What was downloaded once is shared; what npx has installed is not, because the next packages have the same version.
  symlinkSync(downloads, join(cache, '_cacache'), 'junction')
  const network = networkSettings.flatMap(name => (settings.has(name) ? `${name}=${settings.get(name)}\n` : []))
  const userConfig = join(above, 'npmrc')
  writeFileSync(userConfig, network.join(''))
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(bin, name), 0o755)
  }
  return {
    folder,
    registry,
    env: {
      ...environment(bin),
      npm_config_registry: registry.url,
      pnpm_config_registry: registry.url,
      npm_config_cache: cache,
      npm_config_userconfig: userConfig,
    },
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
  const answers = { npm_config_yes: 'true', npm_config_update_notifier: 'false', npm_config_progress: 'false' }
  return { ...Object.fromEntries(own), ...answers, PATH: [bin, ...path].join(delimiter), no_proxy: '127.0.0.1' }
}
