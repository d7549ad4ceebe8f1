#!/usr/bin/env node
require('./launch.cjs').launch('base/main.ts', process.argv.slice(2))
