/**
 * `provenance.json` of a package says what it was made of and by what: a statement of in-toto with the predicate of SLSA, without a signature. A registry
 * makes a signed one when the package is published from CI with `npm publish --provenance`.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { version as esbuild } from 'esbuild'
import { root } from './compile.ts'

/** The part of the statement that other code reads. */
export interface Provenance {
  readonly _type: 'https://in-toto.io/Statement/v1'
  /** Every other file of the package. */
  readonly subject: readonly { readonly name: string; readonly digest: { readonly sha256: string } }[]
  readonly predicateType: 'https://slsa.dev/provenance/v1'
  readonly predicate: {
    readonly buildDefinition: {
      readonly buildType: string
      readonly externalParameters: { readonly package: string; readonly version: string }
      /** `clean` is whether the sources were those of the commit; null when they are in no repository. */
      readonly internalParameters: { readonly clean: boolean | null }
      /** First the sources, whose digest has no member when they are in no repository. */
      readonly resolvedDependencies: readonly [
        { readonly name: 'sources'; readonly digest: { readonly gitCommit?: string } },
        { readonly name: 'package-lock.json'; readonly digest: { readonly sha256: string } },
      ]
    }
    readonly runDetails: { readonly builder: { readonly id: string; readonly version: Readonly<Record<string, string>> } }
  }
}

export const PROVENANCE_FILE = 'provenance.json'

/** @param folder of the package, with all its other files */
export function provenanceOf(folder: string, name: string, version: string, npm: string): Provenance {
  const commit = git('rev-parse', 'HEAD')
  return {
    _type: 'https://in-toto.io/Statement/v1',
    subject: filesIn(folder).map(file => ({ name: file, digest: { sha256: sha256(join(folder, file)) } })),
    predicateType: 'https://slsa.dev/provenance/v1',
    predicate: {
      buildDefinition: {
        buildType: 'urn:berth:build-packages:1',
        externalParameters: { package: name, version },
        internalParameters: { clean: commit === undefined ? null : git('status', '--porcelain') === '' },
        resolvedDependencies: [
          { name: 'sources', digest: commit === undefined ? {} : { gitCommit: commit } },
          { name: 'package-lock.json', digest: { sha256: sha256(join(root, 'package-lock.json')) } },
        ],
      },
      runDetails: { builder: { id: 'urn:berth:build-packages', version: { node: process.version, npm, esbuild } } },
    },
  }
}

/** The files below a folder, sorted, with `/`. */
export function filesIn(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  return entries
    .map(({ parentPath, name }) =>
      join(parentPath, name)
        .slice(folder.length + 1)
        .replaceAll('\\', '/'),
    )
    .sort()
}

const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')

/** Undefined where there is no repository, or no git. */
function git(...args: readonly string[]): string | undefined {
  try {
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}
