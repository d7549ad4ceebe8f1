#!/usr/bin/env node
'use strict'

const nodeModule = require('node:module')
const path = require('node:path')
const { launch, runtime } = require('./launch.cjs')
const { whenNpmEnds } = require('./parent.cjs')

// The sdk keeps its compiled code: half the time of `sdk --help`.
const cache = process.env.NODE_COMPILE_CACHE || path.join(__dirname, '..', 'node_modules', '.cache', 'berth')

if (process.execPath === runtime()) {
  // One process less to start.
  nodeModule.enableCompileCache(cache)
  whenNpmEnds(() => process.kill(process.pid, 'SIGTERM'))
  import('../sdk/cli/sdk.ts')
} else {
  // It holds no isolates, so it may start from Node's snapshot.
  launch('sdk/cli/sdk.ts', process.argv.slice(2), ['--disable-warning=ExperimentalWarning'], { ...process.env, NODE_COMPILE_CACHE: cache })
}
