// Loaded with --require, it ends a process in the orderly way once its parent has ended.
'use strict'

require('./parent.cjs').whenParentEnds(() => process.kill(process.pid, 'SIGTERM'))
