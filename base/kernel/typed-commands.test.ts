import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { asTyped } from './typed-commands.ts'

const agents = { npm: 'npm/11.0.0 node/v26.0.0 linux x64', pnpm: 'pnpm/10.0.0 npm/? node/v26.0.0', yarn: 'yarn/4.0.0 npm/? node/v26.0.0' }
const from = (agent: keyof typeof agents | undefined, cwd: string) => ({ cwd, env: agent && { npm_config_user_agent: agents[agent] } })

test('a command in a message can be typed where the message is printed', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-typed-'))
  t.after(() => rm(folder, { recursive: true }))
  const [installed, others, inside] = [join(folder, 'installed'), join(folder, 'others'), join(folder, 'installed/modules/x')]
  await Promise.all(
    [`${installed}/node_modules/@berth/sdk`, `${installed}/node_modules/.bin`, inside].map(path => mkdir(path, { recursive: true })),
  )
  await mkdir(join(others, 'node_modules/.bin'), { recursive: true })
  await Promise.all([join(installed, 'node_modules/.bin/sdk'), join(others, 'node_modules/.bin/base')].map(path => writeFile(path, '')))
  const text = 'Try it: sdk invoke home   Start one with "base start".'
  const shown = (agent: keyof typeof agents | undefined, cwd: string) => {
    const { env = {}, ...place } = from(agent, cwd)
    return asTyped(text, 'sdk', { ...place, env })
  }
  assert.equal(shown('npm', inside), 'Try it: npx sdk invoke home   Start one with "npx @berth/base start".')
  assert.equal(shown('pnpm', inside), 'Try it: pnpm exec sdk invoke home   Start one with "pnpm dlx @berth/base start".')
  assert.equal(shown('yarn', inside), 'Try it: yarn sdk invoke home   Start one with "npx @berth/base start".')
  assert.equal(shown('npm', folder), 'Try it: npx @berth/sdk invoke home   Start one with "npx @berth/base start".')
  assert.equal(shown(undefined, folder), 'Try it: sdk invoke home   Start one with "npx @berth/base start".')
  assert.equal(shown(undefined, inside), 'Try it: npx sdk invoke home   Start one with "npx @berth/base start".')
  assert.equal(
    shown('npm', others),
    'Try it: npx @berth/sdk invoke home   Start one with "npx @berth/base start".',
    'base is of another package',
  )
})

test('only commands are changed in a message, and none that says already how it is run', () => {
  const shown = (text: string) => asTyped(text, 'sdk', { cwd: '/', env: { npm_config_user_agent: agents.npm } })
  assert.equal(shown('sdk test && sdk scene apply x.json'), 'npx @berth/sdk test && npx @berth/sdk scene apply x.json')
  const others = 'This is a defect of sdk. The base starts; @berth/sdk testing; ./sdk test; have the base stop. cd x && npx sdk test'
  assert.equal(shown(others), others)
})
