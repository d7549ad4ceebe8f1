// Loaded with --require into a process of a base: gives it the code from the snapshot of its base. See code-snapshot.ts.
// It is no TypeScript, because to strip the types of one file costs as much as of many.
'use strict'

const { readFileSync } = require('node:fs')
const { registerHooks } = require('node:module')
const path = require('node:path')
const { pathToFileURL } = require('node:url')

const base = pathToFileURL(path.join(__dirname, '..', path.sep)).href

registerHooks({
  load(url, context, next) {
    const source = url.startsWith(base) ? read(url.slice(base.length)) : undefined
    return source === undefined ? next(url, context) : { format: 'module', source, shortCircuit: true }
  },
})

/** Undefined for a file that the snapshot does not have, or has no longer. Then the one on disk has to do. */
function read(file) {
  try {
    return readFileSync(path.join(process.env.BERTH_CODE_SNAPSHOT, decodeURIComponent(file)), 'utf8')
  } catch {
    return undefined
  }
}
