#!/usr/bin/env node
require('./launch.cjs').launch('sdk/cli.ts', process.argv.slice(2))
