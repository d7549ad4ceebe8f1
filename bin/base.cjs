#!/usr/bin/env node
'use strict'

const { baseEntry, launch } = require('./launch.cjs')

launch(baseEntry, process.argv.slice(2))
