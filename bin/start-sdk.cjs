// Starts the command line of the sdk on the Node.js of the base. Plain CommonJS for any old Node.
'use strict'

const nodeModule = require('node:module')
const { pathToFileURL } = require('node:url')
const { setFlagsFromString } = require('node:v8')
const { cacheFolder, launch, runtime } = require('./launch.cjs')
const { whenNpmEnds } = require('./parent.cjs')

/** A command ends before collecting its garbage pays off, so the space for new objects grows at once: `sdk publish` collects for 2 ms in the place of 20. */
const growth = '--semi-space-growth-factor=16'

/** @param entry absolute path of the command line */
function startSdk(entry) {
  // The sdk keeps its compiled code: half the time of `sdk --help`.
  const cache = cacheFolder()
  const isForDefects = Boolean(process.env.BERTH_DEBUG)
  if (process.execPath === runtime()) {
    // One process less to start.
    setFlagsFromString(growth)
    nodeModule.enableCompileCache(cache)
    process.setSourceMapsEnabled(isForDefects)
    whenNpmEnds(() => process.kill(process.pid, 'SIGTERM'))
    import(pathToFileURL(entry).href)
  } else {
    // It holds no isolates, so it may start from Node's snapshot.
    const flags = ['--disable-warning=ExperimentalWarning', growth, ...(isForDefects ? ['--enable-source-maps'] : [])]
    launch(entry, process.argv.slice(2), flags, { ...process.env, NODE_COMPILE_CACHE: cache })
  }
}

module.exports = { startSdk }
