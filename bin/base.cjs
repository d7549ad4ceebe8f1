#!/usr/bin/env node
'use strict'

const { baseEntry, launch } = require('./launch.cjs')

const args = process.argv.slice(2)
// A base stays, and may be upgraded. Every other command ends.
if (args[0] === 'start') require('./host.cjs').host(baseEntry, args)
else launch(baseEntry, args)
