#!/usr/bin/env node
'use strict'

require('../../bin/sdk.cjs')
