/**
 * Every bound of the base in one place, with the relations between them asserted at start.
 * What an operator may change is an option (`options.ts`); what a scene may change is in its definition (`traffic/schema.ts`).
 */
import assert from 'node:assert/strict'

const KB = 1024
const MB = 1024 * KB

export const limits = {
  /** Bytes of a unit id in UTF-8. */
  unitIdBytesMax: 256,
  /** Unit ids on the whitelist of a scene. */
  whitelistUnitsMax: 100_000,
  /** Bytes of a whitelist as it is uploaded. */
  whitelistBytesMax: 32 * MB,
  /** Versions of a scene that are online at once. */
  onlineVersionsMax: 100,
  /** Characters of JSON of merged parameters that a cell keeps ready for a scene. */
  paramsMemoryCharsMax: 4 * MB,
  /** Characters of a caller's `x-request-id`; a longer or stranger one is replaced. */
  requestIdCharsMax: 128,
  /** The least that W3C Trace Context asks one to pass on. */
  traceStateCharsMax: 512,
  /** Bytes of all request headers. */
  headerBytesMax: 16 * KB,
  /** Bytes of a scene's answer. */
  resultBytesMax: 8 * MB,
  /** Bytes of a module bundle and of its source map. */
  bundleBytesMax: 16 * MB,
  sourceMapBytesMax: 8 * MB,
  /** Requests of a scene under way in the whole base, and its priority from 0 to 100, when it does not say. */
  sceneConcurrency: 256,
  scenePriority: 50,
  /** Requests under way in one cell; it refuses scenes of low priority at half of that. */
  cellPendingMax: 2048,
  /** Requests in one slot, waiting included. */
  slotPendingMax: 512,
  /** Scenes that may be under way in one chain of `ctx.call`. */
  callDepthMax: 8,
  /** `ctx.call`s a single request may have open at once, and timers a slot may. */
  requestCallsMax: 64,
  /** Characters of JSON that one call may carry. */
  callCharsMax: MB,
  slotTimersMax: 1000,
  /** Calls under way in one base service of a cell, and in all of them together. */
  serviceCallsMax: 1024,
  servicesCallsMax: 4096,
  /** Characters of JSON of a service call's result; those of its arguments have the limit of every call. */
  serviceResultCharsMax: 8 * MB,
  /** Fetches of modules under way in one cell and in one slot, and bytes that those of a cell may hold of bodies. */
  cellFetchesMax: 1024,
  slotFetchesMax: 256,
  cellFetchesBytesMax: 128 * MB,
  /** Bytes of one request and of one response, and redirects that are followed. */
  fetchRequestBytesMax: MB,
  fetchResponseBytesMax: 8 * MB,
  fetchRedirectsMax: 20,
  /** Milliseconds an idle connection to another host is kept. */
  fetchKeepAliveMs: 30_000,
  /** Milliseconds a base service may take to start in a cell, and to stop. */
  serviceStartMsMax: 10_000,
  serviceStopMsMax: 2000,
  /** Bytes of one feature table's file and of all, rows of a table, and keys of one `getMany`. */
  featureTableBytesMax: 128 * MB,
  featuresBytesMax: 256 * MB,
  featureRowsMax: 4_000_000,
  featureKeysMax: 10_000,
  /** Milliseconds between two looks for feature tables that have changed. */
  featuresLookMs: 500,
  /** Milliseconds a cell waits for its feature tables before it starts without those it has not read yet. */
  featuresStartMsMax: 8000,
  /** Log lines a slot may write in a second, and characters of each. */
  slotLogLinesPerSecondMax: 200,
  logLineCharsMax: 8 * KB,
  /** Lines a version may send from one cell to who follows it in a second, and errors beside them; the rest are counted. */
  logLinesPerSecondMax: 100,
  logErrorsPerSecondMax: 20,
  /** Bytes of log lines that wait in a cell for the keeper, milliseconds between two batches, and bytes of one. */
  logQueueBytesMax: MB,
  logBatchMs: 100,
  logBatchBytesMax: 256 * KB,
  /** Bytes of its own log that a process keeps while nobody takes them, and milliseconds between two attempts. */
  logSinkBytesMax: MB,
  logSinkAgainMs: 50,
  /** Milliseconds that a cell that ends waits for the keeper to have kept its last lines. */
  logCloseMsMax: 1000,
  /** Bytes that may be under way to a keeper that is slow to take them before log lines wait. */
  keeperBacklogBytesMax: MB,
  /** Bytes of the log of a version, of which at least half is kept, and of the logs of all versions: those that were silent the longest go first. */
  logFileBytesMax: 512 * KB,
  logFilesBytesMax: 64 * MB,
  /** Lines of log in one answer, who may follow logs at once, bytes that may wait for one of them, and milliseconds between two signs of life. */
  logReadMax: 1000,
  logFollowersMax: 64,
  logFollowerBytesMax: MB,
  logHeartbeatMs: 1000,
  /** Seconds a CPU profile may take, milliseconds after which its sampler is set up anew, and microseconds between two samples. */
  profileSecondsMax: 60,
  profileSegmentMs: 500,
  profileIntervalUs: 500,
  /** Milliseconds the slots of a cell may take to come to rest for a moment, and V8 to answer the profiler. */
  profileRestMsMax: 100,
  profileAnswerMsMax: 10_000,
  /** Bytes of a heap that is written out, milliseconds that may take, and characters of a profile of either kind. */
  heapSnapshotBytesMax: 512 * MB,
  heapSnapshotMsMax: 30_000,
  profileCharsMax: 512 * MB,
  /** Characters of a piece in which a profile leaves its cell, and milliseconds a cell keeps one that nobody fetches. */
  profilePieceChars: 256 * KB,
  profileKeptMs: 10_000,
  /** Combinations of parameters that a slot keeps parsed. */
  slotParamsKept: 256,
  /** Milliseconds the top level of one module may run. */
  moduleLoadMsMax: 2000,
  /** Milliseconds a version may take to load in a cell, and in the trial process. */
  versionLoadMsMax: 15_000,
  trialMsMax: 10_000,
  /** Blanks a cell keeps ready, and bytes of compiled code it keeps for the next isolate. */
  slotBufferSize: 2,
  codeCacheBytesMax: 64 * MB,
  /** Baselines a cell loads before it is asked for them. */
  slotsAheadMax: 64,
  /** Milliseconds without a request after which a slot may go when memory is short, and after which one goes that is no baseline. */
  slotIdleMsMin: 1000,
  slotIdleMsMax: 300_000,
  /** Milliseconds a scene may give its requests: a cell that retires waits for them. */
  deadlineMsMax: 10_000,
  /** Milliseconds of CPU that the requests of one turn may be expected to use together. */
  turnCpuMs: 2,
  /** Milliseconds between two looks of the watchdog at the pending requests. */
  watchdogTickMs: 10,
  /** Milliseconds a slot whose request has passed its deadline may stay deaf before it is killed. */
  slotDeafMsMax: 50,
  /** Milliseconds of CPU that timers may use in one go while no request waits. */
  idleCpuMsMax: 250,
  /** Milliseconds a killed slot may take to stop before the cell counts as lost. */
  slotStopMsMax: 2000,
  /** Milliseconds a retiring cell waits for its connections to go, then for its isolates to end. */
  retireLingerMsMax: 15_000,
  /** Milliseconds of those that it waits for a connection on which nothing is under way. */
  retireIdleMsMax: 3000,
  /** Milliseconds between heartbeats of a cell or the keeper, and how long it may miss them before it is killed. */
  heartbeatMs: 500,
  heartbeatLostMsMax: 10_000,
  /** Milliseconds before a crashed process is started again: doubles from the first to the last; a process that lived longer starts over. */
  restartMsMin: 100,
  restartMsMax: 10_000,
  restartForgivenAfterMs: 30_000,
  /** Milliseconds a started cell or keeper may take until it is ready. */
  readyMsMax: 30_000,
  /** Milliseconds the keeper waits for the cells to take a table that it has committed. */
  tableAckMsMax: 10_000,
  /** Milliseconds until a cell takes a table once more of which not everything was to be had: doubles from the first to the last. */
  tableAgainMsMin: 1000,
  tableAgainMsMax: 300_000,
  /** Milliseconds between two looks of the keeper whether its socket is there. */
  socketLookMs: 5000,
  /** Milliseconds until the keeper tries again to save a scene table that the disk has refused. */
  saveTableAgainMs: 5000,
  /** Milliseconds an upgrade waits for the first cell to connect, and a scrape for the metrics of a cell. */
  cellAwaitMsMax: 5000,
  metricsMsMax: 1000,
  /** Bytes of a JSON body of the control API, and how deep it may be nested. */
  controlBodyBytesMax: MB,
  controlBodyDepthMax: 64,
  /** Audit rows that a conflict tells of what changed meanwhile. */
  conflictRowsMax: 20,
  /** Milliseconds that a blob is kept at least while nothing refers to it: an upload before its publish, an old whitelist that a backup copies. */
  unusedBlobMsMin: 600_000,
  /** Milliseconds a stopping keeper lets its requests finish. */
  keeperDrainMsMax: 5000,
  /** Milliseconds of a cell's look for the keeper at boot before it takes the saved table. */
  keeperLookMsMax: 1000,
  /** Milliseconds `SIGTERM` waits for everything to drain before it kills. */
  shutdownMsMax: 20_000,
  /** Two signals closer than this are one: a terminal, npm and the launcher may each deliver it. */
  signalDebounceMs: 200,
  /** Milliseconds an idle keep-alive connection is kept: above the 60 s common in load balancers, so that they close first. */
  keepAliveMs: 72_000,
  /** Milliseconds for the headers, and for the whole request, to arrive. */
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
} as const

assert(limits.heartbeatLostMsMax >= 10 * limits.heartbeatMs, 'a cell must be able to miss several heartbeats')
assert(limits.retireLingerMsMax > limits.deadlineMsMax, 'a retiring cell must outlast the requests in it')
assert(limits.retireLingerMsMax > limits.retireIdleMsMax)
assert(limits.shutdownMsMax > limits.retireLingerMsMax, 'a shutdown must outlast the retirement of a cell')
assert(limits.restartMsMax > limits.restartMsMin)
assert(limits.requestTimeoutMs > limits.headersTimeoutMs)
assert(
  limits.readyMsMax > limits.serviceStartMsMax + limits.versionLoadMsMax + limits.keeperLookMsMax,
  'a cell must be able to start its services and load its versions before it counts as stuck',
)
assert(limits.versionLoadMsMax > limits.moduleLoadMsMax)
assert(limits.cellFetchesMax >= 2 * limits.slotFetchesMax, 'the fetches of one slot must leave room for those of others')
assert(limits.cellFetchesBytesMax > limits.fetchRequestBytesMax + limits.fetchResponseBytesMax, 'the largest fetch must fit')
assert(limits.serviceStartMsMax > limits.featuresStartMsMax, 'big tables must not keep a cell from starting')
assert(limits.whitelistBytesMax >= limits.whitelistUnitsMax * (limits.unitIdBytesMax + 16), 'the longest whitelist must fit')
assert(limits.keepAliveMs > 60_000, 'load balancers must close idle connections before the base does')
