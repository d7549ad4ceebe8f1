import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { CONFIG_FILE } from './config-file.ts'
import { BerthError, type ErrorCode } from './errors.ts'
import { loadOptions, type OptionSources, optionRows, resolveOptions } from './options.ts'

const machine = { memoryMB: 16_384, memoryFile: undefined, cores: 4 }
const resolved = (sources: Partial<OptionSources>) => resolveOptions({ flags: {}, env: {}, machine, ...sources })
const file = (values: unknown) => ({ path: '/etc/berth/berth.config.json', text: JSON.stringify(values) })

function refuses(sources: Partial<OptionSources>, code: ErrorCode, message: string): void {
  assert.throws(
    () => resolved(sources),
    (error: unknown) => {
      assert.ok(error instanceof BerthError)
      assert.deepEqual({ code: error.code, message: error.message }, { code, message })
      return true
    },
  )
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'berth-options-'))
  t.after(() => rmSync(path, { recursive: true }))
  return path
}

test('without any source every option has its documented default', () => {
  assert.deepEqual(resolved({}), {
    port: 8080,
    host: '127.0.0.1',
    controlPort: 8081,
    controlHost: '127.0.0.1',
    data: resolve('.berth'),
    mode: 'serving',
    cells: 4,
    logLevel: 'info',
    bodyLimitBytes: 1_048_576,
    cellMemoryMB: 2048,
    capsules: 'sampled',
    wall: 'auto',
    services: [],
    fetchPrivate: [],
  })
})

test('a flag goes before a variable, a variable before the config file', () => {
  const sources = { flags: { port: '1' }, env: { BERTH_PORT: '2', BERTH_CELLS: '3' }, file: file({ port: 4, cells: 5, logLevel: 'warn' }) }
  const { port, cells, logLevel } = resolved(sources)
  assert.deepEqual({ port, cells, logLevel }, { port: 1, cells: 3, logLevel: 'warn' })
})

test('every option can be given by its variable', () => {
  const env = Object.fromEntries(optionRows.map(row => [row.variable, row.name === 'data' ? '/srv/berth' : row.default]))
  const here = { flags: {}, env: {} }
  assert.deepEqual(resolveOptions({ ...here, env }), { ...resolveOptions(here), data: '/srv/berth' })
})

test('a relative data folder in a config file starts from the folder of that file', () => {
  assert.equal(resolved({ file: file({ data: 'state' }) }).data, '/etc/berth/state')
})

test('services come from the config file only, and their files from its folder', () => {
  const services = [
    { name: 'places', file: 'services/places.mjs' },
    { name: 'geo', file: '/opt/geo.mjs', options: { level: 2 } },
  ]
  assert.deepEqual(resolved({ file: file({ services }) }).services, [
    { name: 'places', file: '/etc/berth/services/places.mjs', options: {} },
    { name: 'geo', file: '/opt/geo.mjs', options: { level: 2 } },
  ])
  refuses({ env: { BERTH_SERVICES: '[]' } }, 'OPTION_UNKNOWN', 'Cannot use BERTH_SERVICES of the environment: no such option')
})

test('networks for fetch come from the config file only, each an address or a network', () => {
  const fetchPrivate = ['10.0.0.0/8', '127.0.0.1', 'fd00::/8']
  assert.deepEqual(resolved({ file: file({ fetchPrivate }) }).fetchPrivate, fetchPrivate)
  for (const wrong of ['10.0.0.0/33', '10.0.0', '::1/129', 'fe80:::1'])
    refuses(
      { file: file({ fetchPrivate: [wrong] }) },
      'OPTION_INVALID',
      `Cannot use fetchPrivate of "/etc/berth/berth.config.json": "${wrong}" is neither an address nor a network such as 10.0.0.0/8`,
    )
})

test('a flag of the wrong kind is refused with its range', () => {
  refuses({ flags: { port: 'abc' } }, 'OPTION_INVALID', 'Cannot use --port "abc": must be an integer from 0 to 65535')
  refuses({ flags: { cells: '65' } }, 'OPTION_INVALID', 'Cannot use --cells 65: must be an integer from 1 to 64')
  refuses(
    { flags: { bodyLimitBytes: '1.5' } },
    'OPTION_INVALID',
    'Cannot use --body-limit-bytes "1.5": must be an integer from 1024 to 67108864',
  )
})

test('a variable of the wrong kind is refused by its name', () => {
  const levels = 'trace, debug, info, warn, error, fatal, silent'
  refuses({ env: { BERTH_LOG_LEVEL: 'loud' } }, 'OPTION_INVALID', `Cannot use BERTH_LOG_LEVEL "loud": must be one of ${levels}`)
  refuses({ env: { BERTH_HOST: '' } }, 'OPTION_INVALID', 'Cannot use BERTH_HOST "": must be a text that is not empty')
})

test('a member of the config file of the wrong kind is refused with the path of the file', () => {
  const message = 'Cannot use port "8080" of "/etc/berth/berth.config.json": must be an integer from 0 to 65535'
  refuses({ file: file({ port: '8080' }) }, 'OPTION_INVALID', message)
})

test('a wrong value is refused even where a stronger source overrides it', () => {
  refuses(
    { flags: { cells: '2' }, env: { BERTH_CELLS: '0' } },
    'OPTION_INVALID',
    'Cannot use BERTH_CELLS 0: must be an integer from 1 to 64',
  )
})

test('an unknown name is refused in every source, with the nearest known one', () => {
  refuses({ flags: { prot: '1' } }, 'OPTION_UNKNOWN', 'Cannot use --prot: no such option; did you mean --port?')
  const variable = 'Cannot use BERTH_CONTROL_PROT of the environment: no such option; did you mean BERTH_CONTROL_PORT?'
  refuses({ env: { BERTH_CONTROL_PROT: '1' } }, 'OPTION_UNKNOWN', variable)
  const member = 'Cannot use cell of "/etc/berth/berth.config.json": no such option; did you mean cells?'
  refuses({ file: file({ cell: 1 }) }, 'OPTION_UNKNOWN', member)
  refuses({ flags: { zzzzzzzz: '1' } }, 'OPTION_UNKNOWN', 'Cannot use --zzzzzzzz: no such option')
})

test('variables of the sdk and of other programs are ignored', () => {
  assert.deepEqual(resolved({ env: { BERTH_TOKEN: 't', BERTH_BASE: 'b', BERTH_CONFIG: 'c', PORT: '1' } }), resolved({}))
})

test('a config file that is not one JSON object is refused', () => {
  const array = 'Cannot use "/etc/berth/berth.config.json": it is not one JSON object'
  refuses({ file: file([1]) }, 'CONFIG_UNREADABLE', array)
  assert.throws(() => resolved({ file: { path: '/c.json', text: '{' } }), {
    code: 'CONFIG_UNREADABLE',
    message: /^Cannot use "\/c\.json": /,
  })
})

test('scenes and control cannot share a port of one host', () => {
  const message = 'Cannot use --control-port 9000: scenes answer on this port of the same host already'
  refuses({ flags: { port: '9000', controlPort: '9000' } }, 'OPTION_INVALID', message)
  refuses({ flags: { port: '9000', controlPort: '9000', host: '0.0.0.0' } }, 'OPTION_INVALID', message)
  assert.equal(resolved({ flags: { port: '0', controlPort: '0' } }).port, 0)
  assert.equal(resolved({ flags: { port: '9000', controlPort: '9000', controlHost: '127.0.0.2' } }).controlPort, 9000)
})

test('the config file of the working directory is used when there is one, and a named one must exist', t => {
  const cwd = folder(t)
  assert.equal(loadOptions({}, {}, cwd).cells, resolveOptions({ flags: {}, env: {} }).cells)
  writeFileSync(join(cwd, CONFIG_FILE), '{ "cells": 7 }')
  writeFileSync(join(cwd, 'other.json'), '{ "cells": 9 }')
  assert.equal(loadOptions({}, {}, cwd).cells, 7)
  assert.equal(loadOptions({}, { BERTH_CONFIG: 'other.json' }, cwd).cells, 9)
  assert.equal(loadOptions({}, { BERTH_CONFIG: 'none.json' }, cwd, 'other.json').cells, 9)
  assert.throws(() => loadOptions({}, {}, cwd, 'none.json'), { code: 'CONFIG_UNREADABLE', message: /none\.json/ })
})

test('a config file may begin with a byte order mark, and is refused with the place when it is not UTF-8', t => {
  const cwd = folder(t)
  writeFileSync(join(cwd, CONFIG_FILE), '\ufeff{"cells":7}')
  assert.equal(loadOptions({}, {}, cwd).cells, 7)
  writeFileSync(join(cwd, 'latin.json'), Buffer.from('{"data":"Andr\xe9"}', 'latin1'))
  const refusal = (file: string, message: RegExp) =>
    assert.throws(() => loadOptions({}, {}, cwd, file), { code: 'CONFIG_UNREADABLE', message })
  refusal('latin.json', /latin\.json": line 1, byte offset 13: byte 0xe9 is not UTF-8; .* Save the file as UTF-8\.$/)
  refusal('.', /it is a folder\. Name a file in it\.$/)
})
