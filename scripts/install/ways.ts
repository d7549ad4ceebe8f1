/** The ways in which the packages are installed: package managers, and how a repository is laid out. In each of them the tutorial reads a little differently. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { launcher } from '../../base/kernel/installation.ts'

export interface Way {
  /** Exact version of the package with the package manager. */
  readonly manager: string
  /** Scripts of a shell by the names under which they are typed. @param folder of the package manager */
  programs(folder: string): Readonly<Record<string, string>>
  /** The tutorial as it reads for this way. */
  read(page: string): string
  /** Lays out the folder in which the tutorial starts. @default leaves it empty */
  prepare?(folder: string): void
}

const npm = (version: string): Pick<Way, 'manager' | 'programs'> => ({
  manager: `npm@${version}`,
  programs: folder => ({ npm: `exec node "${folder}/bin/npm-cli.js" "$@"`, npx: `exec node "${folder}/bin/npx-cli.js" "$@"` }),
})

/** New ones need a newer Node.js than packages of this project do. They get the one that is here. */
const pnpm = (version: string, file: string): Pick<Way, 'manager' | 'programs'> => ({
  manager: `pnpm@${version}`,
  programs: folder => ({ pnpm: `exec "${launcher().runtime()}" "${folder}/bin/${file}" "$@"` }),
})

/** A module in a folder `modules`, of a repository that installs for all of its modules at once. */
const inWorkspace = (page: string): string =>
  page
    .replace('npx @berth/sdk init shop-rank', 'npx @berth/sdk init modules/shop-rank')
    .replaceAll('cd shop-rank', 'cd modules/shop-rank')
    .replace(/^shop-rank\/$/m, 'modules/shop-rank/')

const withPnpm = (page: string): string =>
  page
    .replaceAll('npx @berth/', 'pnpm dlx @berth/')
    .replaceAll('npx sdk', 'pnpm exec sdk')
    .replaceAll('npm install', 'pnpm install')
    // pnpm says what it fetches, also before it runs it.
    .replace(/^shop-rank\/$/m, '…\nshop-rank/')
    .replace('added … packages, and audited … packages in …', 'Done in …')

const same = (page: string): string => page

export const ways: Readonly<Record<string, Way>> = {
  'npm-10': { ...npm('10.9.9'), read: same },
  'npm-11': { ...npm('11.19.1'), read: same },
  'npm-workspace': {
    ...npm('11.19.1'),
    read: inWorkspace,
    prepare: folder => {
      mkdirSync(join(folder, 'modules'))
      writeFileSync(join(folder, 'package.json'), '{ "name": "shop", "private": true, "workspaces": ["modules/*"] }\n')
    },
  },
  'pnpm-10': { ...pnpm('10.34.8', 'pnpm.cjs'), read: withPnpm },
  'pnpm-11': { ...pnpm('11.28.10', 'pnpm.mjs'), read: withPnpm },
}
