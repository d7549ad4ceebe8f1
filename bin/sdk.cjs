#!/usr/bin/env node
'use strict'

const path = require('node:path')

require('./start-sdk.cjs').startSdk(path.join(__dirname, '..', 'sdk', 'cli', 'main.ts'))
