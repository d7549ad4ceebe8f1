// Loaded with --require into every process that a debugger starts: names its inspector to the debugger, and waits for it, as VS Code has it.
'use strict'

const inspector = require('node:inspector')

if (inspector.url() === undefined) inspector.open(0, '127.0.0.1', false)
const { spawnSync } = require('node:child_process')
// A connection of this process would be made in a later turn of its event loop, which does not turn while it waits.
const send = `require('node:net').connect(process.argv[1]).end(process.argv[2])`
spawnSync(process.execPath, ['-e', send, process.env.TEST_DEBUGGER, inspector.url()], { env: {} })
inspector.waitForDebugger()
