/**
 * Every bound of the base in one place, by the part of it that they bound, with the relations between them asserted at start.
 * What an operator may change is an option (`options.ts`); what a scene may change is in its definition (`traffic/schema.ts`).
 */
import assert from 'node:assert/strict'

const KB = 1024
const MB = 1024 * KB

export const limits = {
  /** A request to a scene. */
  request: {
    /** Bytes of all its headers. */
    headerBytesMax: 16 * KB,
    /** Bytes of a unit id in UTF-8. */
    unitIdBytesMax: 256,
    /** Characters of a caller's `x-request-id`; a longer or stranger one is replaced. */
    idCharsMax: 128,
    /** Characters of `tracestate`: the least that W3C Trace Context asks everybody to pass on. */
    traceStateCharsMax: 512,
    /** Milliseconds a scene may give its requests: a cell that retires waits for them. */
    deadlineMsMax: 10_000,
    /** Bytes of the answer. */
    resultBytesMax: 8 * MB,
  },

  /** Connections to both HTTP ports. */
  http: {
    /** Milliseconds an idle keep-alive connection is kept: above the 60 s common in load balancers, so that they close first. */
    keepAliveMs: 72_000,
    /** Milliseconds for the headers to arrive, and for the whole request. */
    headersTimeoutMs: 10_000,
    requestTimeoutMs: 30_000,
  },

  /** What one scene may hold. */
  scene: {
    /** Requests under way in the whole base when the scene does not say. */
    concurrency: 256,
    /** Priority from 0 to 100 when the scene does not say. */
    priority: 50,
    /** Versions that are online at once. */
    onlineVersionsMax: 100,
    /** Unit ids on the whitelist. */
    whitelistUnitsMax: 100_000,
    /** Bytes of a whitelist as it is uploaded. */
    whitelistBytesMax: 32 * MB,
    /** Characters of JSON of merged parameters that a cell keeps ready. */
    paramsMemoryCharsMax: 4 * MB,
  },

  /** What is published of a module, and how it is tried. */
  module: {
    bundleBytesMax: 16 * MB,
    sourceMapBytesMax: 8 * MB,
    /** Milliseconds its top level may run. */
    loadMsMax: 2000,
    /** Milliseconds it may take in the trial process. */
    trialMsMax: 10_000,
  },

  /** A cell: one serving process. */
  cell: {
    /** Requests under way; scenes of low priority are refused at half of that. */
    pendingMax: 2048,
    /** Isolates that are kept ready without a version. */
    slotBufferSize: 2,
    /** Bytes of compiled code that are kept for the next isolate. */
    codeCacheBytesMax: 64 * MB,
    /** Baselines that are loaded before anybody asks for them. */
    slotsAheadMax: 64,
    /** Milliseconds it looks for the keeper at boot before it takes the saved table. */
    keeperLookMsMax: 1000,
    /** Bytes that may be under way to a keeper that is slow to take them before log lines wait. */
    keeperBacklogBytesMax: MB,
    /** Milliseconds until it takes a table once more of which not everything was to be had: doubles from the first to the last. */
    tableAgainMsMin: 1000,
    tableAgainMsMax: 300_000,
    /** Milliseconds it waits for its connections to go when it retires, then for its isolates to end. */
    retireLingerMsMax: 15_000,
    /** Milliseconds of those that it waits for a connection on which nothing is under way. */
    retireIdleMsMax: 3000,
  },

  /** A slot: one isolate that serves one version of a scene. */
  slot: {
    /** Requests in it, waiting ones included. */
    pendingMax: 512,
    /** Timers that may be pending. */
    timersMax: 1000,
    /** Combinations of parameters that are kept parsed. */
    paramsKept: 256,
    /** Log lines it may write in a second. */
    logLinesPerSecondMax: 200,
    /** Milliseconds a version may take to load. */
    loadMsMax: 15_000,
    /** Milliseconds without a request after which it may go when memory is short, and after which it goes when it is no baseline. */
    idleMsMin: 1000,
    idleMsMax: 300_000,
    /** Milliseconds of CPU that the requests of one turn may be expected to use together. */
    turnCpuMs: 2,
    /** Milliseconds between two looks of the watchdog at the pending requests. */
    watchdogTickMs: 10,
    /** Milliseconds a slot whose request has passed its deadline may leave a probe unanswered before it is killed. */
    deafMsMax: 50,
    /** Milliseconds of CPU that timers may use in one go while no request waits. */
    idleCpuMsMax: 250,
    /** Milliseconds a killed slot may take to stop before the cell counts as lost. */
    stopMsMax: 2000,
  },

  /** `ctx.call`, from one scene to another. */
  calls: {
    /** Scenes that may be under way in one chain. */
    depthMax: 8,
    /** Calls that a single request may have open at once. */
    perRequestMax: 64,
    /** Characters of JSON that one call may carry. */
    charsMax: MB,
  },

  /** Base services. */
  services: {
    /** Calls under way in one service of a cell, and in all of them together. */
    callsPerServiceMax: 1024,
    callsMax: 4096,
    /** Characters of JSON of a result; the arguments have the limit of every call. */
    resultCharsMax: 8 * MB,
    /** Milliseconds a service may take to start in a cell, and to stop. */
    startMsMax: 10_000,
    stopMsMax: 2000,
  },

  /** Feature tables. */
  features: {
    /** Bytes of one table's file, and of all. */
    tableBytesMax: 128 * MB,
    bytesMax: 256 * MB,
    /** Rows of a table. */
    rowsMax: 4_000_000,
    /** Keys of one `getMany`. */
    keysMax: 10_000,
    /** Milliseconds between two looks for tables that have changed. */
    lookMs: 500,
    /** Milliseconds a cell waits for its tables before it starts without those it has not read yet. */
    startMsMax: 8000,
  },

  /** Requests that modules send to other hosts. */
  fetch: {
    /** Under way in one cell, and in one slot. */
    perCellMax: 1024,
    perSlotMax: 256,
    /** Bytes that those of a cell may hold of bodies. */
    bytesPerCellMax: 128 * MB,
    /** Bytes of one request and of one response. */
    requestBytesMax: MB,
    responseBytesMax: 8 * MB,
    /** Redirects that are followed. */
    redirectsMax: 20,
    /** Milliseconds an idle connection to another host is kept. */
    keepAliveMs: 30_000,
  },

  /** What modules log, on its way to who reads it, and the log of the processes. */
  log: {
    /** Characters of a line. */
    lineCharsMax: 8 * KB,
    /** Lines that a version may send from one cell in a second, and errors beside them; the rest are counted. */
    linesPerSecondMax: 100,
    errorsPerSecondMax: 20,
    /** Bytes of lines that wait in a cell for the keeper, milliseconds between two batches, and bytes of one. */
    queueBytesMax: MB,
    batchMs: 100,
    batchBytesMax: 256 * KB,
    /** Bytes of its own log that a process keeps while nobody takes them, and milliseconds between two attempts. */
    sinkBytesMax: MB,
    sinkAgainMs: 50,
    /** Milliseconds that a cell that ends waits for the keeper to have kept its last lines. */
    closeMsMax: 1000,
    /** Bytes of the log of a version, of which at least half is kept, and of the logs of all versions: those that were silent the longest go first. */
    fileBytesMax: 512 * KB,
    filesBytesMax: 64 * MB,
    /** Lines in one answer. */
    readMax: 1000,
    /** Readers who follow logs at once, bytes that may wait for one of them, and milliseconds between two signs of life. */
    followersMax: 64,
    followerBytesMax: MB,
    heartbeatMs: 1000,
  },

  /** Profiles of slots that serve. */
  profile: {
    /** Seconds a CPU profile may take, milliseconds after which its sampler is set up anew, and microseconds between two samples. */
    secondsMax: 60,
    segmentMs: 500,
    intervalUs: 500,
    /** Milliseconds the slots of a cell may take to come to rest for a moment, and V8 to answer the profiler. */
    restMsMax: 100,
    answerMsMax: 10_000,
    /** Bytes of a heap that is written out, and milliseconds that may take. */
    heapBytesMax: 512 * MB,
    heapMsMax: 30_000,
    /** Characters of a profile of either kind, and of a piece in which it leaves its cell. */
    charsMax: 512 * MB,
    pieceChars: 256 * KB,
    /** Milliseconds a cell keeps one that nobody fetches. */
    keptMs: 10_000,
  },

  /** The keeper. */
  keeper: {
    /** Milliseconds it waits for the cells to take a table that it has committed. */
    tableAckMsMax: 10_000,
    /** Milliseconds until it tries again to save a scene table that the disk has refused. */
    saveTableAgainMs: 5000,
    /** Milliseconds between two looks whether its socket is there. */
    socketLookMs: 5000,
    /** Milliseconds an upgrade waits for the first cell to connect, and a scrape for the metrics of a cell. */
    cellAwaitMsMax: 5000,
    metricsMsMax: 1000,
    /** Milliseconds that a blob is kept at least while nothing refers to it: an upload before its publish, an old whitelist that a backup copies. */
    unusedBlobMsMin: 600_000,
    /** Milliseconds it lets its requests finish when it stops. */
    drainMsMax: 5000,
  },

  /** Requests to the control API. */
  control: {
    /** Bytes of a JSON body, and how deep it may be nested. */
    bodyBytesMax: MB,
    bodyDepthMax: 64,
    /** Milliseconds that the answer to a request with an `Idempotency-Key` is kept at least. */
    keptAnswerMsMin: 24 * 60 * 60 * 1000,
    /** Changes that a conflict lists of those made meanwhile. */
    conflictRowsMax: 20,
  },

  /** The processes of a base, as the supervisor runs them. */
  process: {
    /** Milliseconds between heartbeats of a cell or the keeper, and how long it may miss them before it is killed. */
    heartbeatMs: 500,
    heartbeatLostMsMax: 10_000,
    /** Milliseconds before a crashed process is started again: doubles from the first to the last; a process that lived longer starts over. */
    restartMsMin: 100,
    restartMsMax: 10_000,
    restartForgivenAfterMs: 30_000,
    /** Milliseconds a started cell or keeper may take until it is ready. */
    readyMsMax: 30_000,
    /** Milliseconds `SIGTERM` waits for everything to drain before it kills. */
    shutdownMsMax: 20_000,
    /** Milliseconds within which two signals are one: a terminal, npm and the launcher may each deliver it. */
    signalDebounceMs: 200,
  },
} as const

assert(limits.process.heartbeatLostMsMax >= 10 * limits.process.heartbeatMs, 'a cell must be able to miss several heartbeats')
assert(limits.cell.retireLingerMsMax > limits.request.deadlineMsMax, 'a retiring cell must outlast the requests in it')
assert(limits.cell.retireLingerMsMax > limits.cell.retireIdleMsMax)
assert(limits.process.shutdownMsMax > limits.cell.retireLingerMsMax, 'a shutdown must outlast the retirement of a cell')
assert(limits.process.restartMsMax > limits.process.restartMsMin)
assert(limits.http.requestTimeoutMs > limits.http.headersTimeoutMs)
assert(
  limits.process.readyMsMax > limits.services.startMsMax + limits.slot.loadMsMax + limits.cell.keeperLookMsMax,
  'a cell must be able to start its services and load its versions before it counts as stuck',
)
assert(limits.slot.loadMsMax > limits.module.loadMsMax)
assert(limits.fetch.perCellMax >= 2 * limits.fetch.perSlotMax, 'the fetches of one slot must leave room for those of others')
assert(limits.fetch.bytesPerCellMax > limits.fetch.requestBytesMax + limits.fetch.responseBytesMax, 'the largest fetch must fit')
assert(limits.services.startMsMax > limits.features.startMsMax, 'big tables must not keep a cell from starting')
assert(
  limits.scene.whitelistBytesMax >= limits.scene.whitelistUnitsMax * (limits.request.unitIdBytesMax + 16),
  'the longest whitelist must fit',
)
assert(limits.http.keepAliveMs > 60_000, 'load balancers must close idle connections before the base does')
