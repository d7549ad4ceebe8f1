/** `npm run test:walks [-- NAME…]`: goes the ways of the users of Berth, with the commands that they type, on real bases. */
import { readdirSync } from 'node:fs'
import { messageOf } from '../../base/kernel/errors.ts'
import { Ground, type Walk } from './ground.ts'

/** A walk takes less than a minute on a quiet machine; one that takes longer than this hangs. */
const WALK_MS_MAX = 240_000

const helpers = ['main.ts', 'ground.ts']
const known = readdirSync(import.meta.dirname).flatMap(file => (helpers.includes(file) ? [] : [file.replace(/\.ts$/, '')]))
const wanted = process.argv.length > 2 ? process.argv.slice(2) : known
const unknown = wanted.filter(name => !known.includes(name))
if (unknown.length > 0) {
  console.error(`There is no walk ${unknown.join(', ')}. There are: ${known.join(', ')}`)
  process.exit(2)
}

// What this shell says of bases is not meant for those of the walks.
for (const name of Object.keys(process.env)) if (name.startsWith('BERTH_')) delete process.env[name]

const failed: string[] = []
for (const name of wanted) if (!(await isWalked(name))) failed.push(name)
if (failed.length > 0) console.log(`\nFailed: ${failed.join(', ')}. To repeat it: npm run test:walks -- ${failed.join(' ')}`)
process.exit(failed.length > 0 ? 1 : 0)

async function isWalked(name: string): Promise<boolean> {
  const { about, walk } = (await import(`./${name}.ts`)) as Walk
  console.log(`\n${name}: ${about}`)
  const startedAt = performance.now()
  const ground = await Ground.open()
  const interrupt = () => void ground.close().then(() => process.exit(130))
  process.once('SIGINT', interrupt)
  try {
    await within(WALK_MS_MAX, walk(ground))
    console.log(`${name} took ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
    return true
  } catch (error) {
    const text = messageOf(error).replaceAll(/^/gm, '      ')
    console.log(`  ✖ ${ground.step ?? 'before the first step'}\n${text}\n${ground.place(error)}`)
    return false
  } finally {
    process.off('SIGINT', interrupt)
    await ground.close()
  }
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`The walk has not come to its end after ${ms / 1000} s`)), ms)
  try {
    await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
