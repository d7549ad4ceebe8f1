/**
 * Every limit of the base, grouped by the part of the base that it bounds. The relations between limits are asserted when a process starts.
 * What an operator may change is an option (`options.ts`); what a scene may change is in its definition (`traffic/schema.ts`).
 */
import assert from 'node:assert/strict'

const KB = 1024
const MB = 1024 * KB

export const limits = {
  /** A request to a scene. */
  request: {
    /** Bytes of all headers. */
    headerBytesMax: 16 * KB,
    /** Bytes of a unit id in UTF-8. */
    unitIdBytesMax: 256,
    /** Characters of a caller's `x-request-id`; one that is longer, or has characters that are not allowed, is replaced. */
    idCharsMax: 128,
    /** Characters of `tracestate` that are passed on: the minimum that W3C Trace Context asks for. */
    traceStateCharsMax: 512,
    /** Milliseconds of the longest deadline that a scene may set: a cell that retires waits for its requests that long. */
    deadlineMsMax: 10_000,
    /** Bytes of the answer. */
    resultBytesMax: 8 * MB,
    /** Characters of the details, as JSON, with which a stage may reject a request. */
    rejectionCharsMax: 8 * KB,
    /** Places that are named where a body does not fit the schema of its scene. */
    misfitsMax: 8,
    /** Lines about requests that their callers are to blame for, which a version may have in the log in a second. */
    refusalLinesPerSecondMax: 5,
  },

  /** The schemas that a scene may declare. */
  schemas: {
    /** Characters of one of them as JSON. */
    charsMax: 64 * KB,
  },

  /** Connections to both HTTP ports. */
  http: {
    /** Milliseconds an idle keep-alive connection is kept: longer than the 60 s common in load balancers, so that they close it first. */
    keepAliveMs: 72_000,
    /** Milliseconds within which the headers, and the whole request, have to arrive; uploads to the control API have `control.uploadTimeoutMs`. */
    headersTimeoutMs: 10_000,
    requestTimeoutMs: 30_000,
    /**
     * Requests from one address in a minute whose token is not known before they are refused for their rate, in each process that listens; and
     * addresses that are counted, of which the longest silent is forgotten first.
     */
    tokenGuessesPerMinuteMax: 60,
    tokenGuessAddressesMax: 10_000,
    /** Rows of the audit log in an hour about addresses that guess. */
    tokenGuessRowsPerHourMax: 60,
    /** Connections of a cell, where the machine allows twice as many open files. Of more, those go that are idle the longest. */
    connectionsMax: 4096,
    /** Requests that a caller may send on one connection ahead of their answers. */
    pipelinedMax: 64,
    /** Bytes of an answer that are given to the connection at a time, and milliseconds a caller may take to read that much. */
    pieceBytes: 256 * KB,
    readerStallMsMax: 12_000,
  },

  /** What one scene may hold. */
  scene: {
    /** Requests under way in the whole base when the scene sets no limit. */
    concurrency: 256,
    /** Priority, from 0 to 100, when the scene sets none. */
    priority: 50,
    /** Versions that are online at once. */
    onlineVersionsMax: 100,
    /** Code experiments, and experiments of each layer, with those that are stopped; and layers, with those that are retired. */
    experimentsMax: 2000,
    layersMax: 64,
    /** Milliseconds after a call in which neither the scene nor a version of it counts as unused. */
    calledMsMax: 300_000,
    /** Unit ids on the whitelist. */
    whitelistUnitsMax: 100_000,
    /** Bytes of an uploaded whitelist. */
    whitelistBytesMax: 32 * MB,
    /** Characters of JSON that a cell keeps of merged parameters. */
    paramsMemoryCharsMax: 4 * MB,
  },

  /** A published module and its trial. */
  module: {
    bundleBytesMax: 16 * MB,
    sourceMapBytesMax: 8 * MB,
    /** Milliseconds of CPU that the top level of its code may use. */
    loadCpuMsMax: 2000,
    /** Milliseconds of CPU that its trial may use, and milliseconds in which the process of the trial has to use some. */
    trialCpuMsMax: 10_000,
    trialIdleMsMax: 60_000,
    /** Trials at once: one where memory is short. One publisher leaves one of them to others. */
    trialsMax: 3,
  },

  /** The source map of a module, which may be any text that somebody has uploaded, and the reading of stacks by it. */
  sourceMap: {
    /** Places that it maps. A bundle has one for about eight characters. */
    segmentsMax: 1_000_000,
    /** Values of its JSON, how deep they are nested, and characters of the path of a source or of a name. */
    valuesMax: 200_000,
    depthMax: 16,
    nameCharsMax: 4096,
    /** MB of memory in which a cell reads maps, characters of the maps that it keeps there, and milliseconds after which it lets go of them. */
    memoryMB: 128,
    keptCharsMax: 8 * MB,
    idleMs: 10_000,
    /** Milliseconds that reading one map, or one stack, may take. */
    msMax: 10_000,
    /** Stacks that wait to be read in a cell; further ones are logged as they are. */
    waitingMax: 64,
    /** MB of the heap of a thread in which the keeper reads maps, and milliseconds that it may take for a profile. */
    threadMemoryMB: 256,
    profileMsMax: 20_000,
  },

  /** A cell: one serving process. */
  cell: {
    /**
     * Places: requests in the cell, from their head until their answer has left, and calls from scene to scene. A scene may take a place only while it
     * has fewer than are free for its priority; but a scene with fewer than the reserve finds one until all are taken.
     */
    placesMax: 2048,
    placesReserved: 8,
    /** Bytes of bodies and answers that wait in a cell, at most this part of its memory; and from which size on they are counted. */
    bytesMax: 256 * MB,
    bytesMemoryShare: 1 / 8,
    bytesCountedFrom: 64 * KB,
    /**
     * The budget of a cell, in parts of its memory: above the first, idle slots go, and versions that have grown get no work; above the second, the slot that has grown
     * most is killed. The supervisor replaces a cell that uses more than all of it.
     */
    memoryShortShare: 0.8,
    memoryKillShare: 0.9,
    /** The part of its memory that a slot may take in one go though its own limit is higher, and that a version may take in one go beside others that do so. */
    slotGrowthShare: 1 / 4,
    besideGrowthShare: 1 / 8,
    /** Milliseconds until a killed slot should have given its memory back. Only then is another one killed. */
    killedMemoryMs: 50,
    /** The part of its slots that goes at a time when memory is short, and milliseconds until they should have given it back: V8 keeps it for a while, for other isolates. */
    evictedShare: 1 / 4,
    evictedMemoryMs: 5000,
    /** Milliseconds for which a version that has grown beyond its limit counts as one that does. */
    grownMs: 30_000,
    /** Isolates that are kept ready before it is known which version they will serve. */
    slotBufferSize: 2,
    /** Bytes of compiled code that are kept to start the next isolate faster. */
    codeCacheBytesMax: 64 * MB,
    /** Baselines that are loaded before the first request for them, and milliseconds that a starting cell waits for them. */
    slotsAheadMax: 64,
    aheadMsMax: 3000,
    /** The same for a cell that takes over from those of another release: until then, they serve. */
    heirAheadMsMax: 15_000,
    /** Milliseconds that a table waits for new baselines of scenes in use when the keeper could not have this cell load them before. */
    switchMsMax: 250,
    /** Versions that are loaded at once, however many cores there are for the cell. */
    loadsMax: 8,
    /** Milliseconds after which a version that is still loading gives its place to the next, and how many such versions there may be. */
    loadTurnMs: 1000,
    slowLoadsMax: 4,
    /** Milliseconds a starting cell tries to reach the keeper before it serves the saved table. */
    keeperLookMsMax: 1000,
    /** Bytes that may be on their way to a slow keeper before log lines are held back. */
    keeperBacklogBytesMax: MB,
    /** Milliseconds before it tries again to load a table of which a part could not be loaded: doubles from the minimum to the maximum. */
    tableAgainMsMin: 1000,
    tableAgainMsMax: 300_000,
    /** Milliseconds a retiring cell waits for its connections to close, and then for its isolates to end. */
    retireLingerMsMax: 15_000,
    /** The part of those milliseconds that it waits for connections without a request. */
    retireIdleMsMax: 3000,
  },

  /**
   * MB that a base is expected to use, from which the defaults of its options follow. Measured while a base with the example scenes is busy, and
   * rounded up: see docs/operating.md.
   */
  memory: {
    /** What each process has for itself, and the code of Node.js, which they share. */
    launcherMB: 10,
    supervisorMB: 50,
    keeperMB: 80,
    trialMB: 40,
    codeMB: 60,
    /** A cell that has just started, in the place of one that still runs. */
    replacementMB: 70,
    /** Resident memory of a cell: with less it cannot run, with that much it serves the examples, and it never needs more by default. */
    cellMBMin: 128,
    cellMBComfortable: 224,
    cellMBMax: 2048,
    /** Cells that may hold less than this collect garbage early, for a little more CPU. */
    thriftyMB: 512,
  },

  /** Capsules: real requests that were captured with everything that reached the modules. */
  capsule: {
    /** Requests of a recording. A recorder that has answered them ends. */
    requestsMax: 256,
    /** Readings of clocks that are written down of an entry. One that reads more cannot be replayed bit for bit. */
    readingsMax: 10_000,
    /** Bytes that the entries of a recording take as JSON. A recorder that has written them ends. */
    recordingBytesMax: 16 * MB,
    /** Milliseconds without a request after which a recorder ends. */
    recorderIdleMsMax: 60_000,
    /** Capsules that a base keeps, and bytes that they take on its disk; scenes say how many of these are theirs. */
    keptMax: 20_000,
    filesBytesMax: 1024 * MB,
    /** Bytes of an exported capsule: a recording, and the bundles and source maps of its modules. */
    exportBytesMax: 64 * MB,
    /** Capsules that are listed at once. */
    listedMax: 1000,
    /** Capsules that a validation answers. With 450, a fault in one of a hundred requests is missed once in ninety times. */
    validatedMax: 450,
    /** Capsules that it answers again in fresh slots, of those that differ. */
    validatedFreshMax: 100,
    /** Bytes that the capsules take on disk which a process answers, and characters of the answers that are compared. */
    answeredBytesMax: 64 * MB,
    /** Milliseconds that a validation may take. After that it judges by what it has. */
    validationMsMax: 60_000,
    /** Milliseconds of CPU that one entry may use when a recording is replayed. It is more than a scene may allow its requests. */
    entryCpuMsMax: 120_000,
    /** What is put in for one capsule that is answered, until it counts as one that does not end. */
    answerEntriesMax: 10_000,
    /** Milliseconds by which a change takes longer for the slots that it needs to warm up, and by which a cell starts later for all of its own. */
    warmUpMs: 250,
    warmUpStartMs: 1000,
    /** Answers after which a slot is warm, however little time they took: V8 has compiled what runs often by then. */
    warmUpAnswersMax: 5000,
    /** Capsules that a slot warms up with, as many as that of which are looked at, and bytes of JSON that they take in all. */
    warmUpCapsulesMax: 32,
    warmUpCapsulesRead: 64,
    warmUpBytesMax: 2 * MB,
    /** Milliseconds that the last request of a warm-up may go on when its time is over, or when somebody waits for the slot. */
    warmUpGraceMs: 20,
    /** Milliseconds after which recorded replies are too old for a module that keeps them. */
    warmUpReplyMsMax: 3_600_000,
    /** Bytes of capsules that wait in a cell for the keeper. When half of them wait, no request is captured by chance. */
    queueBytesMax: 8 * MB,
    /** The part of its deadline that a request which asks to be captured waits for a recorder. */
    waitShare: 0.5,
    /** Log lines of one request that its capsule has. */
    logLinesMax: 100,
    /** Milliseconds for which a process that answers or replays may say nothing before it is ended. */
    silentMsMax: 60_000,
    /** Recordings that are verified at once. */
    verifiedMax: 50,
  },

  /** A slot: one isolate that serves one version of a scene. */
  slot: {
    /** Requests in it, including those that wait. */
    pendingMax: 512,
    /**
     * The part of the memory of a slot that the text of one body may take, and the texts of all bodies of a turn together, at a byte a character. Parsed,
     * `[{},{},…` takes eleven times as much, and what was parsed before may still be there. Where that does not fit, V8 collects garbage for seconds in
     * which nothing can stop it.
     */
    bodyMemoryShare: 1 / 32,
    /** Characters of a body from which on the body is to blame when a slot ends while it is parsed. */
    bodySuspectChars: 64 * KB,
    /** Timers that may be pending. */
    timersMax: 1000,
    /** Combinations of parameters that it keeps parsed. */
    paramsKept: 256,
    /** Log lines it may write in a second. */
    logLinesPerSecondMax: 200,
    /** Milliseconds of CPU that loading a version may use. */
    loadCpuMsMax: 15_000,
    /** Milliseconds in which a version that could not be loaded is not tried again: doubles from the minimum to the maximum with each failure in a row. */
    loadAgainMsMin: 1000,
    loadAgainMsMax: 30_000,
    /** Milliseconds that a slot which was loaded ahead of its table is kept waiting for it. */
    preparedMsMax: 60_000,
    /** Milliseconds without a request after which it may be ended when memory is short, and after which it is ended unless rules name its version. */
    idleMsMin: 1000,
    idleMsMax: 300_000,
    /** Milliseconds without a request after which the garbage of a slot is collected and its heap shrunk. */
    shrinkMs: 30_000,
    /** Bytes of a heap that is collected then: requests would have to wait longer for a larger one. */
    shrinkBytesMax: 32 * MB,
    /** Milliseconds of CPU that the requests of one turn may be expected to use together. */
    turnCpuMs: 2,
    /** Milliseconds between two looks of the watchdog at the pending requests. */
    watchdogTickMs: 10,
    /** Milliseconds a slot may leave a probe unanswered, once a request in it has passed its deadline, before it is killed. */
    unresponsiveMsMax: 50,
    /** Milliseconds for which a look at the code of a slot that is about to be killed may put the kill off; up to five times as many on a busy machine. */
    lookMsMax: 50,
    /** Milliseconds for which the slots of a version are ready to be looked at, from when one was killed for what its code did. */
    lookoutMs: 600_000,
    /** Milliseconds of CPU that timers may use in one go while no request is in the slot. */
    idleCpuMsMax: 250,
    /** Milliseconds of CPU that a slot may use outside of requests in each second, and how many it may save up. */
    outsideCpuMsPerSecond: 100,
    outsideCpuMsMax: 500,
    /** Milliseconds a killed slot may take to stop before its cell has to be replaced, half of them in CPU of the cell. */
    stopMsMax: 2000,
    /** The part of those milliseconds for which its version is not loaded again, unless it has another killed slot that has not stopped. */
    stopGraceMs: 300,
  },

  /** `ctx.call`, from one scene to another. */
  calls: {
    /** Scenes in one chain of calls. */
    depthMax: 8,
    /** Calls that a single request may have open at once. */
    perRequestMax: 64,
    /** Characters of JSON that one call may carry. */
    charsMax: MB,
    /** The part of each limit of a scene that calls from other scenes may use up together. The rest is kept for callers from outside. */
    insideShare: 0.75,
  },

  /** Base services. */
  services: {
    /** Calls under way in one service of a cell, and in all of them together. A scene may have as many as are free. */
    callsPerServiceMax: 1024,
    callsMax: 4096,
    /** Characters of JSON of a result; arguments are bounded by `calls.charsMax`. */
    resultCharsMax: 8 * MB,
    /** Faults of the services of a cell that the status of the base names. */
    faultsMax: 100,
    /** Milliseconds a service may take to start in a cell, and to stop. */
    startMsMax: 10_000,
    stopMsMax: 2000,
  },

  /** Text files that people write, such as scenes, whitelists and logs of requests. */
  files: {
    /** Bytes of a file that is read as a whole. */
    textBytesMax: 64 * MB,
    /** Characters of a line of a file that is read line by line. */
    lineCharsMax: 64 * MB,
  },

  /** Feature tables. */
  features: {
    /** Bytes of the file of one table, and of all files together. */
    tableBytesMax: 128 * MB,
    bytesMax: 256 * MB,
    /** Rows of a table. */
    rowsMax: 4_000_000,
    /** Columns of a table that are known by name. */
    columnsMax: 200,
    /** Tables that are uploaded, and versions that the base keeps of each, the one in force among them. */
    uploadedMax: 200,
    versionsMax: 5,
    /** Milliseconds a cell may take to read an uploaded table, and keeps it while it is not yet in force. */
    prepareMsMax: 100_000,
    preparedMsMax: 120_000,
    /** Rows that one request to the control API may ask for. */
    shownMax: 100,
    /** Keys of one `getMany`. */
    keysMax: 10_000,
    /** Milliseconds between two searches for changed tables. */
    lookMs: 500,
    /** Milliseconds a starting cell waits for its tables; afterwards it starts without those that it has not read yet. */
    startMsMax: 8000,
  },

  /** Requests that modules send to other hosts. */
  fetch: {
    /** Requests under way in one cell, and in one slot. Of a cell, a scene may have as many as are free. */
    perCellMax: 1024,
    perSlotMax: 256,
    /** Bytes of all bodies that a cell may hold at once. A scene may hold as many as are free. */
    bytesPerCellMax: 128 * MB,
    /** Bytes of one request and of one response. */
    requestBytesMax: MB,
    responseBytesMax: 8 * MB,
    /** Redirects that are followed. */
    redirectsMax: 20,
    /** Milliseconds an idle connection to another host is kept. */
    keepAliveMs: 30_000,
  },

  /** The log lines of modules, from the slot to the reader, and the log of the processes. */
  log: {
    /** Characters of a line. */
    lineCharsMax: 8 * KB,
    /** Lines that a version may send from one cell in a second, and errors in addition; the rest is dropped and counted. */
    linesPerSecondMax: 100,
    errorsPerSecondMax: 20,
    /** Warnings that a cell and the keeper remember, in order to write each only once for a version. When there are more, all are forgotten. */
    onceMax: 10_000,
    /** Bytes of lines that wait in a cell for the keeper, milliseconds between two batches, and bytes of one batch. */
    queueBytesMax: MB,
    batchMs: 100,
    batchBytesMax: 256 * KB,
    /** Bytes of its own log that a process keeps while standard output takes none, and milliseconds between two attempts to write them. */
    sinkBytesMax: MB,
    sinkAgainMs: 50,
    /** Milliseconds an ending cell waits for the keeper to acknowledge its last lines. */
    closeMsMax: 1000,
    /** Bytes of the log of one version, of which at least half is kept, and of all logs together: the longest silent version is dropped first. */
    fileBytesMax: 512 * KB,
    filesBytesMax: 64 * MB,
    /** Versions that have a log. */
    versionsMax: 10_000,
    /** Lines in one answer of the control API. */
    readMax: 1000,
    /** Readers that follow logs at once, bytes that may wait for one of them, and milliseconds between two heartbeats to them. */
    followersMax: 64,
    followerBytesMax: MB,
    heartbeatMs: 1000,
  },

  /** Profiles of slots that serve. */
  profile: {
    /** Seconds a CPU profile may take, milliseconds after which its sampler is started anew, and microseconds between two samples. */
    secondsMax: 60,
    segmentMs: 500,
    intervalUs: 500,
    /** Milliseconds until all slots of a cell must have paused for the sampler to start, and until V8 must have answered the profiler. */
    restMsMax: 100,
    answerMsMax: 10_000,
    /** Bytes of a heap of which a snapshot is taken, and milliseconds that may take. */
    heapBytesMax: 512 * MB,
    heapMsMax: 30_000,
    /** Characters of a profile of either kind, and of one of the pieces in which its cell sends it. */
    charsMax: 512 * MB,
    pieceChars: 256 * KB,
    /** Milliseconds a cell keeps a profile that nobody fetches. */
    keptMs: 10_000,
  },

  /** The keeper. */
  keeper: {
    /** Milliseconds it waits for a cell to load a version: a cell that runs says earlier how it went. */
    prepareMsMax: 60_000,
    /** Milliseconds it waits for the cells to switch to a table that it has committed. */
    tableAckMsMax: 10_000,
    /** Milliseconds it waits for a cell that is lost to do so. Then that cell is killed, since it may serve with rights that were revoked. */
    lostAckMsMax: 500,
    /** Milliseconds before it tries again to save a scene table that could not be written. */
    saveTableAgainMs: 5000,
    /** Bytes that must be free before a keeper that started on a full disk starts again, and milliseconds between two looks for them. */
    roomBytes: MB,
    roomLookMs: 1000,
    /** Milliseconds between two checks that the file of its socket still exists. */
    socketLookMs: 5000,
    /** Milliseconds an upgrade waits for the first cell to connect, and a scrape of `/metrics` for the metrics of a cell. */
    cellAwaitMsMax: 5000,
    metricsMsMax: 1000,
    /** Least milliseconds that an unreferenced blob is kept: it may be an upload before its publish, or an old whitelist that a backup copies. */
    unusedBlobMsMin: 600_000,
    /** Milliseconds between two looks at what takes the disk, and milliseconds after which nobody waits for one any more. */
    diskLookMsMin: 60_000,
    diskLookMsMax: 250,
    /** Milliseconds a stopping keeper gives its requests to finish. */
    drainMsMax: 5000,
  },

  /** Requests to the control API. */
  control: {
    /** Bytes of a JSON body, and how deep it may be nested. */
    bodyBytesMax: MB,
    bodyDepthMax: 64,
    /** Milliseconds within which a whole upload of bytes has to arrive: the largest feature table at two megabits a second. */
    uploadTimeoutMs: 600_000,
    /** Least milliseconds for which the answer to a request with an `Idempotency-Key` is kept. */
    keptAnswerMsMin: 24 * 60 * 60 * 1000,
    /** Audit rows that a conflict lists of the changes made in the meantime. */
    conflictRowsMax: 20,
  },

  /** When a version has cost so much that it gets no more requests. */
  quarantine: {
    /** Cells that a version may cost within so many milliseconds: with the last of them it is quarantined. */
    lossesMax: 2,
    lossWindowMs: 3_600_000,
    /** Slots of a version that may be killed within so many milliseconds, in all cells together, while it gives fewer answers than it is killed. */
    killsMax: 50,
    killWindowMs: 600_000,
    /** Lost cells that are remembered, and suspects of one of them. */
    lossesKept: 100,
    suspectsKept: 20,
    /** Pieces of evidence that are kept with a quarantine, and characters of the reason in each of them. */
    evidenceMax: 5,
    whyCharsMax: 300,
    /** Seconds after which callers are told to try again. */
    retryAfterSeconds: 30,
  },

  /** The processes of a base, as the supervisor runs them. */
  process: {
    /** Milliseconds between heartbeats of a cell or the keeper, and for how long they may be missing before it is killed. */
    heartbeatMs: 500,
    heartbeatLostMsMax: 10_000,
    /**
     * Milliseconds before a crashed process is started again: doubles from the minimum to the maximum with each crash in a row. A process that
     * has lived longer than `restartForgivenAfterMs` begins at the minimum again.
     */
    restartMsMin: 100,
    restartMsMax: 10_000,
    restartForgivenAfterMs: 30_000,
    /** The longest such pause, in milliseconds, after a cell was lost, and while no cell serves. */
    heirMsMax: 500,
    /** Starts in a row that end before the cell is ready, until the pauses are no longer shortened where no cell serves. */
    vainStartsMax: 5,
    /**
     * Lost cells of the base that go on answering until others can: of more, the one that has been lost for longest is killed. One cell of a
     * seat at most, and one of the base where memory is short.
     */
    lostMax: 4,
    /** Losses of cells that are remembered for a keeper that is away. */
    lossesMax: 100,
    /** Milliseconds a cell or keeper may take from its start until it is ready. */
    readyMsMax: 30_000,
    /** Milliseconds all processes have to drain after `SIGTERM` before they are killed. */
    shutdownMsMax: 20_000,
    /** Milliseconds until another release has to serve that takes the base over, unless the command says otherwise; the most that it may say. */
    upgradeMs: 60_000,
    upgradeMsMax: 600_000,
    /** Milliseconds that a keeper may take to stop when another release takes over. */
    keeperStopMsMax: 10_000,
    /** Milliseconds within which two signals count as one: a terminal, npm and the launcher may each deliver the same one. */
    signalDebounceMs: 200,
    /** Milliseconds that notifying the service manager may take, and before it is tried again after a failure. */
    notifyMsMax: 10_000,
    notifyAgainMs: 10_000,
  },
} as const

assert(limits.process.heartbeatLostMsMax >= 10 * limits.process.heartbeatMs, 'a cell must be able to miss several heartbeats')
assert(limits.cell.retireLingerMsMax > limits.request.deadlineMsMax, 'a retiring cell must outlast the requests in it')
assert(limits.cell.retireLingerMsMax > limits.cell.retireIdleMsMax)
assert(limits.process.shutdownMsMax > limits.cell.retireLingerMsMax, 'a shutdown must outlast the retirement of a cell')
assert(limits.process.restartMsMax > limits.process.restartMsMin)
assert(
  limits.process.heirMsMax >= limits.process.restartMsMin && limits.process.heirMsMax < 1000,
  'a lost cell has an heir within a second',
)
assert(limits.process.lostMax >= 1, 'a lost cell must be able to serve until its heir does')
assert(limits.keeper.lostAckMsMax < limits.keeper.tableAckMsMax)
assert(limits.cell.switchMsMax < limits.keeper.lostAckMsMax, 'a cell must be able to switch before nobody waits for it any more')
assert(limits.keeper.prepareMsMax > limits.slot.loadCpuMsMax, 'a load must come to its end before the keeper gives up')
assert(limits.http.requestTimeoutMs > limits.http.headersTimeoutMs)
assert(
  limits.process.readyMsMax >
    limits.services.startMsMax + Math.max(limits.cell.heirAheadMsMax, limits.features.startMsMax) + limits.cell.keeperLookMsMax,
  'a cell must be able to start its services and load its tables and versions before it counts as stuck',
)
assert(limits.cell.heirAheadMsMax > limits.cell.aheadMsMax)
assert(
  limits.cell.memoryShortShare < limits.cell.memoryKillShare && limits.cell.memoryKillShare < 1,
  'a cell must free memory before it is replaced',
)
assert(limits.slot.shrinkMs > limits.slot.idleMsMin && limits.slot.shrinkMs < limits.slot.idleMsMax)
assert(limits.process.keeperStopMsMax > limits.keeper.drainMsMax)
assert(limits.slot.loadCpuMsMax > limits.module.loadCpuMsMax)
assert(limits.slot.stopGraceMs < limits.slot.stopMsMax)
assert(limits.slot.loadAgainMsMax > limits.slot.loadAgainMsMin)
assert(limits.cell.loadTurnMs < limits.module.loadCpuMsMax, 'a load must give up its place before it is killed')
assert(
  limits.cell.aheadMsMax < limits.module.loadCpuMsMax + limits.slot.stopMsMax,
  'a starting cell must be ready before a version that it loads can cost it, or no cell ever would be',
)
assert(limits.module.trialCpuMsMax > limits.module.loadCpuMsMax)
assert(limits.module.trialIdleMsMax > limits.module.trialCpuMsMax, 'a trial on a busy machine is no idle one')
assert(limits.sourceMap.keptCharsMax >= limits.module.sourceMapBytesMax, 'the largest source map must fit')
assert(limits.http.readerStallMsMax > limits.request.deadlineMsMax, 'an answer may have to wait behind another on its connection')
assert(limits.http.connectionsMax >= 2 * limits.cell.placesMax, 'there must be idle connections to close when requests take all places')
assert(
  (limits.memory.cellMBMin * MB * limits.cell.bytesMemoryShare) / 2 >= limits.request.resultBytesMax,
  'a scene must be able to hold its largest answer in the smallest cell',
)
assert(limits.cell.bytesCountedFrom < limits.http.pieceBytes, 'what is sent in pieces must be counted')
assert(limits.cell.placesReserved * 2 < limits.cell.placesMax, 'the reserve must leave places that are shared')
assert(limits.calls.insideShare > 0 && limits.calls.insideShare < 1, 'both callers from outside and other scenes must find room')
assert(limits.slot.outsideCpuMsMax > limits.slot.idleCpuMsMax, 'what may run in one go must be allowed to run at all')
assert(limits.fetch.perCellMax >= 2 * limits.fetch.perSlotMax, 'the fetches of one slot must leave room for those of others')
assert(limits.fetch.bytesPerCellMax > limits.fetch.requestBytesMax + limits.fetch.responseBytesMax, 'the largest fetch must fit')
assert(limits.services.startMsMax > limits.features.startMsMax, 'big tables must not keep a cell from starting')
assert(
  limits.scene.whitelistBytesMax >= limits.scene.whitelistUnitsMax * (limits.request.unitIdBytesMax + 16),
  'the longest whitelist must fit',
)
assert(limits.quarantine.lossesKept >= limits.process.lossesMax, 'what a supervisor kept for a keeper must fit')
assert(limits.quarantine.evidenceMax >= limits.quarantine.lossesMax, 'each lost cell must be among the evidence')
assert(limits.http.keepAliveMs > 60_000, 'load balancers must close idle connections before the base does')
