// Loaded with --require into a process of a base: gives it the code from the snapshot of its base. See code-snapshot.ts.
// It is no TypeScript, because to strip the types of one file costs as much as of many.
'use strict'

const { readFileSync } = require('node:fs')
const { registerHooks } = require('node:module')
const path = require('node:path')
const { pathToFileURL } = require('node:url')

const base = pathToFileURL(path.join(__dirname, '..', path.sep)).href

/** The code by the path in `base`; undefined when the file is gone, as after a new installation. Then the code on disk has to do. */
function readSnapshot() {
  try {
    return new Map(Object.entries(JSON.parse(readFileSync(process.env.BERTH_CODE_SNAPSHOT, 'utf8'))))
  } catch {
    return undefined
  }
}

const snapshot = readSnapshot()
if (snapshot !== undefined)
  registerHooks({
    load(url, context, next) {
      const source = url.startsWith(base) ? snapshot.get(url.slice(base.length)) : undefined
      return source === undefined ? next(url, context) : { format: 'module', source, shortCircuit: true }
    },
  })
