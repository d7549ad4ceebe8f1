/** Module folders that are made for one test, and what bundling them gives. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Bundle, bundleModule } from '../../sdk/bundle/bundle.ts'
import { type SdkCode, SdkError } from '../../sdk/sdk-error.ts'
import { startGuest } from './isolate.ts'

export type Files = Readonly<Record<string, string | Uint8Array>>

/** The package.json of a module, where it has nothing else. */
export const packageJson = JSON.stringify({ name: 'ranker', version: '1.2.3', description: 'ranks', berth: { stages: ['rank'] } })

/** The package.json of a module with these members of `berth`. */
export const packageWith = (berth: object, main = 'index.ts'): string =>
  JSON.stringify({ name: 'ranker', version: '1.2.3', main, berth: { stages: ['rank'], ...berth } })

/** A module folder with these files, which is removed after the test. */
export async function moduleFolder(t: TestContext, files: Files): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-bundle-'))
  t.after(() => rm(folder, { recursive: true }))
  for (const [path, text] of Object.entries({ 'package.json': packageJson, ...files })) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  return folder
}

export async function bundle(t: TestContext, files: Files): Promise<Bundle> {
  return bundleModule(await moduleFolder(t, files))
}

/** The error with this code that bundling the files gives. */
export async function refusal(t: TestContext, files: Files, code: SdkCode): Promise<SdkError> {
  const folder = await moduleFolder(t, files)
  const error = await bundleModule(folder).then(
    () => assert.fail('it was bundled'),
    thrown => thrown,
  )
  assert(error instanceof SdkError, String(error))
  assert.equal(error.code, code, error.message)
  assert.match(error.message, /^Cannot bundle ".*": /)
  assert(error.hint, 'an error says what to do')
  return error
}

/** What the stage `rank` of a bundle returns, or throws, in an isolate like that of a slot. */
export async function ranked(t: TestContext, { code }: Bundle): Promise<unknown> {
  const guest = await startGuest(t)
  const json = await guest.run(`(async () => JSON.stringify(await (${code.replace(/;?\s*$/, '')}).rank()))()`)
  return json === undefined ? undefined : JSON.parse(String(json))
}
