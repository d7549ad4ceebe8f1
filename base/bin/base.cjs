#!/usr/bin/env node
'use strict'

require('../../bin/base.cjs')
