/** Where the files of the sdk are that others read by path: in a clone of the project, or in the installed package `@berth/sdk`. */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { clone } from '../base/kernel/installation.ts'

/** The folder of `@berth/sdk`. */
export const sdkFolder: string =
  clone === undefined ? dirname(createRequire(import.meta.url).resolve('@berth/sdk/package.json')) : join(clone, 'sdk')

const fileOf = (source: string, built: string): string => join(sdkFolder, clone === undefined ? built : source)

/** Is imported before the tests of a module. */
export const testHookPath: string = fileOf('author/test-hook.ts', 'lib/test-hook.js')

/** What `@berth/sdk/testing` is while tests run. */
export const testingPath: string = fileOf('author/testing.ts', 'lib/testing.js')

/** What a bundle has in the place of a built-in module of Node.js. */
export const standInPath: string = fileOf('bundle/compile/stand-in.ts', 'lib/stand-in.js')
