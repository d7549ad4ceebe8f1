#!/usr/bin/env node
'use strict'

const path = require('node:path')

// The sdk holds no isolates, so it may start from Node's snapshot, and it keeps its compiled code: half the time of `sdk --help`.
const cache = path.join(__dirname, '..', 'node_modules', '.cache', 'berth')
require('./launch.cjs').launch('sdk/cli.ts', process.argv.slice(2), ['--disable-warning=ExperimentalWarning'], {
  NODE_COMPILE_CACHE: cache,
  ...process.env,
})
