/**
 * The one table of everything that can go wrong, and the error class that refers to a row of it.
 * `docs/errors.md` is generated from this table; a test fails when the two differ.
 */

/** Who has to change something: the caller, the author of the module, whoever runs the base, or (`load`) nobody, since load will pass. */
export type Blame = 'caller' | 'module' | 'base' | 'load'

interface ErrorRow {
  readonly status: number
  readonly blame: Blame
  readonly title: string
  /** What the one who is to blame can do about it. */
  readonly fix: string
}

const table = {
  // Calling a scene
  ROUTE_NOT_FOUND: {
    status: 404,
    blame: 'caller',
    title: 'No such route',
    fix: 'GET / says what is there: POST /scenes/:id on the scene port, the routes of /docs on the control port.',
  },
  METHOD_NOT_ALLOWED: { status: 405, blame: 'caller', title: 'Wrong method', fix: 'Use the method that the Allow header names.' },
  SCENE_NOT_FOUND: {
    status: 404,
    blame: 'caller',
    title: 'No such scene',
    fix: 'Check the id with "sdk scene list", or define the scene with "sdk scene apply".',
  },
  SCENE_WITHOUT_BASELINE: {
    status: 404,
    blame: 'caller',
    title: 'The scene has no baseline version yet',
    fix: 'Make one with "sdk version create SCENE --as baseline".',
  },
  VERSION_NOT_FOUND: {
    status: 404,
    blame: 'caller',
    title: 'No such version',
    fix: 'List the versions of the scene with "sdk version list SCENE".',
  },
  UNAUTHENTICATED: {
    status: 401,
    blame: 'caller',
    title: 'A valid token is needed',
    fix: 'Send "Authorization: Bearer TOKEN" with a token that has not been revoked.',
  },
  FORBIDDEN: {
    status: 403,
    blame: 'caller',
    title: 'The token lacks the right',
    fix: 'Use a token that has the right which the message names; for a call from another scene, list that scene under "callers".',
  },
  BODY_MALFORMED: {
    status: 400,
    blame: 'caller',
    title: 'The body is not JSON',
    fix: 'Send one JSON value, UTF-8 encoded, nested at most 32,768 levels deep; the message says where the text stops being that.',
  },
  REQUEST_REJECTED: {
    status: 422,
    blame: 'caller',
    title: 'The module has rejected the request',
    fix: 'Change the request as the detail says. "reason" is the code of the module, which a program can tell apart; "details" is what it gives with it.',
  },
  BODY_TOO_LARGE: {
    status: 413,
    blame: 'caller',
    title: 'The body is over the limit',
    fix: 'Send fewer bytes, or have whoever runs the base raise --body-limit-bytes; where the message names a slot, give the scene a larger traffic.spec.memoryMB.',
  },
  BODY_TIMEOUT: { status: 408, blame: 'caller', title: 'The request did not arrive in time', fix: 'Send the whole request at once.' },
  CONTENT_TYPE_UNSUPPORTED: {
    status: 415,
    blame: 'caller',
    title: 'Wrong content type, charset or encoding',
    fix: 'Send "Content-Type: application/json", UTF-8 and not compressed.',
  },
  REQUEST_MALFORMED: {
    status: 400,
    blame: 'caller',
    title: 'The request is not valid HTTP or has an invalid part',
    fix: 'Mend the part of the request that the message names.',
  },
  HEADERS_TOO_LARGE: { status: 431, blame: 'caller', title: 'The headers are over the limit', fix: 'Send fewer or shorter headers.' },
  UNIT_TOO_LONG: {
    status: 400,
    blame: 'caller',
    title: 'The unit id is over 256 bytes',
    fix: 'Send a shorter unit id, for example a hash of it.',
  },
  UNIT_INVALID: {
    status: 400,
    blame: 'caller',
    title: 'The unit id is no string, and no number that is exact',
    fix: "Send a string or a number where the scene takes its unit from; a number beyond 2^53 as digits alone, or as a string; in a header UTF-8, or UTF-8'' and the id percent-encoded.",
  },
  HEADER_INVALID: {
    status: 400,
    blame: 'caller',
    title: 'A header that the scene reads is not UTF-8',
    fix: 'Send the text as UTF-8, or as UTF-8\'\' and the text percent-encoded; see "Header values" in docs/modules.md.',
  },
  SCENE_OVERLOADED: {
    status: 503,
    blame: 'load',
    title: 'The scene or its cell is at its limit of work',
    fix: 'Try again after the seconds that Retry-After says.',
  },
  RATE_LIMITED: {
    status: 429,
    blame: 'load',
    title: 'There have been as many requests as are allowed',
    fix: 'Try again after the seconds that Retry-After says. The limit of a scene is its traffic.rateLimit; that of unknown tokens is for each address.',
  },
  BREAKER_OPEN: {
    status: 503,
    blame: 'module',
    title: 'The version has failed so often that it gets no requests for a while',
    fix: 'Try again after the seconds that Retry-After says; the author mends the failure that the log of the cell shows, or goes back to another version.',
  },
  VERSION_QUARANTINED: {
    status: 503,
    blame: 'module',
    title: 'The version is in quarantine: it kept killing its slots or its cells',
    fix: 'Publish a version that is mended and promote it, roll back, or lift the quarantine with "sdk version lift SCENE VERSION"; the message has the evidence.',
  },
  BASE_DRAINING: {
    status: 503,
    blame: 'load',
    title: 'The base is shutting down',
    fix: 'Try again on another base, or after Retry-After.',
  },
  BASE_NOT_READY: {
    status: 503,
    blame: 'base',
    title: 'There is no scene table yet, the first scenes are being published, or no scene can answer',
    fix: 'Wait when there is no table yet or scenes are being published. Otherwise the body lists the scenes, each with its reason.',
  },
  DEADLINE_EXCEEDED: {
    status: 504,
    blame: 'module',
    title: 'No answer before the deadline',
    fix: 'Make the module faster, or give the scene a longer traffic.deadlineMs.',
  },
  MODULE_THREW: {
    status: 500,
    blame: 'module',
    title: 'A module threw',
    fix: 'Read the message; "sdk logs SCENE" shows the stack, in the lines of the source.',
  },
  MODULE_KILLED: {
    status: 503,
    blame: 'module',
    title: 'The slot was killed while the request was in it',
    fix: 'Try again; the author looks for an endless loop or unbounded memory in the module that the log names.',
  },
  SLOT_UNAVAILABLE: {
    status: 503,
    blame: 'base',
    title: 'The version could not be loaded',
    fix: 'Try again; the log of the cell has the reason.',
  },
  CALL_CYCLE: {
    status: 500,
    blame: 'module',
    title: 'Scenes call each other in a circle',
    fix: 'Break the circle of ctx.call that the message shows.',
  },
  CALL_TOO_DEEP: {
    status: 500,
    blame: 'module',
    title: 'Scenes call each other too deeply',
    fix: 'Flatten the chain of ctx.call that the message shows.',
  },
  SERVICE_NOT_FOUND: {
    status: 500,
    blame: 'module',
    title: 'No such service, or no such method of it',
    fix: 'Use a service that this base offers (its config lists them) and list it under berth.services in package.json.',
  },
  SERVICE_INPUT_INVALID: {
    status: 500,
    blame: 'module',
    title: 'The arguments do not fit the method of the service',
    fix: 'Mend the arguments that the message names.',
  },
  SERVICE_RESULT_TOO_LARGE: {
    status: 500,
    blame: 'module',
    title: 'The result of a service call is over the limit',
    fix: 'Ask for less in one call.',
  },
  SERVICE_OVERLOADED: {
    status: 503,
    blame: 'load',
    title: 'The service is at its limit of calls under way',
    fix: 'Go on without its answer, or try again later; whoever runs the base makes the service faster or adds cells.',
  },
  SERVICE_FAILED: {
    status: 500,
    blame: 'base',
    title: 'A service of the base failed',
    fix: 'Read the log of the cell, which has the stack; mend the service.',
  },
  FEATURES_NOT_FOUND: {
    status: 500,
    blame: 'base',
    title: 'A module asks for a feature table that is not there',
    fix: 'Upload it with "sdk features put FILE", or mend its name in the module.',
  },
  FEATURES_BROKEN: {
    status: 500,
    blame: 'base',
    title: 'The file of the feature table cannot be read',
    fix: 'Mend the line that the message names, and put the file in place of the broken one; upload again what was uploaded.',
  },
  FETCH_FORBIDDEN: {
    status: 500,
    blame: 'module',
    title: 'The module may not fetch from this host',
    fix: 'Add the host that the message names to berth.fetch in package.json; for a private address, have whoever runs the base allow its network.',
  },
  FETCH_FAILED: {
    status: 500,
    blame: 'module',
    title: 'A fetch got no answer',
    fix: 'Look at the host and the URL that the message names; catch the error if the stage can go on without the answer.',
  },
  FETCH_TOO_LARGE: {
    status: 500,
    blame: 'module',
    title: 'The request or the answer of a fetch is over the limit',
    fix: 'Ask for less in one fetch.',
  },
  FETCH_OVERLOADED: {
    status: 503,
    blame: 'load',
    title: 'The slot or its cell is at its limit of fetches under way',
    fix: 'Go on without the answer, or try again later; whoever runs the base adds cells.',
  },
  RESULT_UNDEFINED: {
    status: 500,
    blame: 'module',
    title: 'A stage returned undefined',
    fix: 'Return a value from every path of the stage; use null for "nothing".',
  },
  RESULT_NOT_DATA: {
    status: 500,
    blame: 'module',
    title: 'A stage returned a function or a symbol',
    fix: 'Return data: objects, arrays, strings, numbers, booleans or null.',
  },
  RESULT_NOT_LIST: {
    status: 500,
    blame: 'module',
    title: 'Results of a parallel stage cannot be joined',
    fix: 'Return lists from modules that run in parallel, or give the stage a module that merges.',
  },
  RESULT_BIGINT: {
    status: 500,
    blame: 'module',
    title: 'The answer holds a BigInt, which JSON cannot',
    fix: 'Convert it with Number(x) or String(x).',
  },
  RESULT_CYCLE: {
    status: 500,
    blame: 'module',
    title: 'The answer refers to itself',
    fix: 'Return plain data without references back to a parent.',
  },
  RESULT_TOO_LARGE: { status: 500, blame: 'module', title: 'The answer is over the limit', fix: 'Return fewer items or fields.' },
  RESULT_UNFIT: {
    status: 500,
    blame: 'module',
    title: 'The answer does not fit the schema of the scene',
    fix: 'Mend the stage that the message names, or "schemas.answer" of the scene. A base sends such an answer all the same, and logs it; only tests fail.',
  },
  DATA_LOST: {
    status: 500,
    blame: 'module',
    title: 'A value silently loses something as JSON',
    fix: 'Return what JSON can hold; the message names the place, what it was and what to do. A base answers all the same, and warns in the log of the scene; the tests of a module fail.',
  },
  RESULT_TOO_DEEP: { status: 500, blame: 'module', title: 'The answer is nested too deeply for JSON', fix: 'Return a flatter structure.' },

  // Publishing modules
  FEATURES_INVALID: {
    status: 422,
    blame: 'caller',
    title: 'The file is no feature table',
    fix: 'Mend the line that the message names; "Feature tables" in docs/operating.md says what a file may look like.',
  },
  TABLE_NOT_FOUND: {
    status: 404,
    blame: 'caller',
    title: 'No such feature table, or no such version of it',
    fix: 'List the tables with "sdk features list", and the versions of one with "sdk features history TABLE".',
  },
  BLOB_DIGEST_MISMATCH: {
    status: 400,
    blame: 'caller',
    title: 'The bytes do not have the digest they were sent under',
    fix: 'Send them again; if it happens again, something between you and the base changes them.',
  },
  BLOB_NOT_FOUND: { status: 404, blame: 'caller', title: 'No such blob', fix: 'Upload it with PUT /api/blobs/:digest first.' },
  BUNDLE_TOO_LARGE: {
    status: 413,
    blame: 'caller',
    title: 'The bundle is over the limit',
    fix: 'Leave out what the module does not need; move big tables out of the bundle.',
  },
  BUNDLE_INVALID: {
    status: 422,
    blame: 'module',
    title: 'The bundle is not a script',
    fix: 'Build it with "sdk publish", which writes the form that the base loads.',
  },
  SOURCE_MAP_INVALID: {
    status: 422,
    blame: 'module',
    title: 'The source map is not one that a base reads',
    fix: 'Build it with "sdk publish", or publish the module without a source map.',
  },
  MODULE_EXISTS: {
    status: 409,
    blame: 'caller',
    title: 'This version of the module is published with other bytes',
    fix: 'Raise the version in package.json, or publish with --bump patch.',
  },
  MODULE_NOT_FOUND: {
    status: 404,
    blame: 'caller',
    title: 'No such module or no such version of it',
    fix: 'Publish it with "sdk publish", or check the name with "sdk modules".',
  },
  MODULE_RANGE_UNSATISFIED: {
    status: 422,
    blame: 'caller',
    title: 'No published version is in the range',
    fix: 'Publish a version in the range, or widen the range.',
  },
  MODULE_LACKS_STAGE: {
    status: 422,
    blame: 'caller',
    title: 'The module does not implement the stage',
    fix: 'Bind a module whose package.json lists the stage under berth.stages.',
  },
  MODULE_EXPORTS_NOTHING: {
    status: 422,
    blame: 'module',
    title: 'The module exports nothing',
    fix: 'Export one function for each stage in berth.stages.',
  },
  MODULE_EXPORT_MISSING: {
    status: 422,
    blame: 'module',
    title: 'The module does not export a stage it declares',
    fix: 'Export a function of that name, or take the name out of berth.stages.',
  },
  MODULE_EXPORT_NOT_FUNCTION: {
    status: 422,
    blame: 'module',
    title: 'The export for a stage is not a function',
    fix: 'Export a function of that name.',
  },
  MODULE_LOAD_THREW: {
    status: 422,
    blame: 'module',
    title: 'The module threw while it was loaded',
    fix: 'Mend the top level of the module; the message has what it threw.',
  },
  MODULE_CHANGES_BUILTINS: {
    status: 422,
    blame: 'module',
    title: 'The module changed built-ins of JavaScript while it was loaded',
    fix: 'Call a function of your own instead, or take a package that leaves built-ins as they are (a ponyfill, such as core-js-pure).',
  },
  MODULE_LOAD_AWAITS: {
    status: 422,
    blame: 'module',
    title: 'The module awaits at its top level',
    fix: 'Await inside a stage function; the first request can do what start-up did.',
  },
  MODULE_LOAD_KILLED: {
    status: 422,
    blame: 'module',
    title: 'The module did not finish loading within its limits',
    fix: 'Do less at the top level: no endless loop, no table larger than the memory limit.',
  },

  // Scenes and versions
  STAGE_DUPLICATE: { status: 422, blame: 'caller', title: 'Two stages of the group have one name', fix: 'Give each stage its own name.' },
  SCENE_INVALID: {
    status: 422,
    blame: 'caller',
    title: 'The scene definition is not valid',
    fix: 'Mend the fields that the message names.',
  },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    blame: 'caller',
    title: 'The Idempotency-Key was sent with another request',
    fix: 'Use a key of its own for each request; repeat a key only with the same method, path and body.',
  },
  ANSWER_LOST: {
    status: 409,
    blame: 'caller',
    title: 'The request was carried out, but its answer was not kept',
    fix: 'Revoke the token that the message names, and make another.',
  },
  REVISION_CONFLICT: {
    status: 409,
    blame: 'caller',
    title: 'It has changed since you read it',
    fix: 'Read it again, look at what changed, then repeat the write.',
  },
  SERVICE_NOT_OFFERED: {
    status: 422,
    blame: 'caller',
    title: 'A module uses a service that the base does not offer',
    fix: 'Have whoever runs the base list the service under "services" in its config, or take it out of berth.services.',
  },
  UPGRADE_FAILED: {
    status: 422,
    blame: 'module',
    title: 'A cell could not load the version; nothing was changed',
    fix: 'Mend what the message names, then publish again.',
  },

  // Rules: whitelist, experiments, layers, cutover
  RULES_INVALID: {
    status: 422,
    blame: 'caller',
    title: 'The rules of the scene are not valid',
    fix: 'Mend the fields that the message names.',
  },
  WHITELIST_INVALID: {
    status: 422,
    blame: 'caller',
    title: 'The whitelist is not valid',
    fix: 'Mend the lines that the message names: each has a unit id, and a version unless one version is given for all.',
  },
  EXPERIMENT_INVALID: {
    status: 422,
    blame: 'caller',
    title: 'The experiment is not valid',
    fix: 'Mend the ranges, weights, arms or conditions that the message names.',
  },
  EXPERIMENT_EXISTS: {
    status: 409,
    blame: 'caller',
    title: 'The scene has an experiment of this id already, maybe a stopped one',
    fix: 'Choose another id: exposures and results are kept by it.',
  },
  EXPERIMENT_NOT_FOUND: {
    status: 404,
    blame: 'caller',
    title: 'No such experiment',
    fix: 'List the experiments of the scene with "sdk experiment list SCENE".',
  },
  SEGMENTS_TAKEN: {
    status: 409,
    blame: 'caller',
    title: 'Another running experiment owns the segments',
    fix: 'Choose segments that are free, or stop the experiment that the message names.',
  },
  ATTRIBUTE_UNKNOWN: {
    status: 422,
    blame: 'caller',
    title: 'The scene does not declare the attribute',
    fix: 'Declare it under "attributes" in the definition of the scene, or name one that is declared.',
  },
  LAYER_KEY_TAKEN: {
    status: 409,
    blame: 'caller',
    title: 'Two live layers own one parameter',
    fix: 'Take the parameter out of one of the layers that the message names, or retire that layer.',
  },
  VERSION_OFFLINE: {
    status: 422,
    blame: 'caller',
    title: 'A rule names a version that is not online',
    fix: 'Name a version that is online, or bring the version back first.',
  },
  VERSION_IN_USE: {
    status: 409,
    blame: 'caller',
    title: 'The version is used by a rule',
    fix: 'Take it out of what the message names first.',
  },
  SCENE_IN_USE: {
    status: 409,
    blame: 'caller',
    title: 'The scene is used, and cannot be deleted',
    fix: 'End what the message names first.',
  },
  SCENE_FULL: {
    status: 409,
    blame: 'caller',
    title: 'The scene has as many experiments or layers as it may',
    fix: 'Delete stopped experiments with "sdk experiment delete", and retired layers with "sdk layer delete".',
  },
  MODULE_IN_USE: {
    status: 409,
    blame: 'caller',
    title: 'The version of the module is in versions of scenes, and cannot be deleted',
    fix: 'Delete the versions that the message names first with "sdk version delete", or leave those modules out with --unused.',
  },
  EXPERIMENT_RUNS: {
    status: 409,
    blame: 'caller',
    title: 'The experiment runs, and cannot be deleted',
    fix: 'Stop it first with "sdk experiment stop".',
  },
  FLIP_REFUSED: {
    status: 409,
    blame: 'caller',
    title: 'The experiment cannot be changed like this',
    fix: 'The message says what prevents it; "sdk experiment status" shows the experiment as it is.',
  },
  VERSIONS_TOO_MANY: {
    status: 409,
    blame: 'caller',
    title: 'The scene has as many versions online as it may',
    fix: 'Take a version out of what uses it, then take it offline with "sdk version offline".',
  },
  PROMOTION_REFUSED: {
    status: 409,
    blame: 'caller',
    title: 'The version cannot take this part of the traffic now',
    fix: 'The message says what prevents it; "sdk version list" shows what each version is for.',
  },
  VALIDATION_FAILED: {
    status: 409,
    blame: 'module',
    title: 'The candidate does not answer captured requests as it has to',
    fix: 'Mend what the report names, or allow it in the "validation" of the scene. To go on regardless, ask for "validation": "report" (in the sdk: --validation report).',
  },
  NOTHING_TO_ROLL_BACK: {
    status: 409,
    blame: 'caller',
    title: 'There is no earlier state to go back to',
    fix: 'The message says what there is to go back to, if anything.',
  },
  LAYER_NOT_FOUND: {
    status: 404,
    blame: 'caller',
    title: 'No such layer',
    fix: 'List the layers of the scene with "sdk layer list SCENE", or make one.',
  },
  LAYER_IN_USE: {
    status: 409,
    blame: 'caller',
    title: 'The layer is live, or has running experiments',
    fix: 'Stop the experiments that the message names first; retire a layer before it is deleted.',
  },
  PARAMS_INVALID: {
    status: 422,
    blame: 'caller',
    title: 'The parameters are not valid',
    fix: 'Mend what the message names.',
  },

  // Control
  REQUEST_INVALID: {
    status: 400,
    blame: 'caller',
    title: 'The request does not fit the schema',
    fix: 'Mend the fields that the message names. The schema of a scene is under "schemas.request" of its definition, and of the control API on the page /docs.',
  },
  CAPSULE_NOT_FOUND: {
    status: 404,
    blame: 'caller',
    title: 'No such capsule, or none any more',
    fix: 'List the capsules of the scene with "sdk capsule list SCENE". They go with their age, their version and their scene, and to make room.',
  },
  CAPSULE_INVALID: {
    status: 400,
    blame: 'caller',
    title: 'The exported capsule cannot be taken',
    fix: 'Export it again with "sdk capsule export", and change nothing in the file.',
  },
  LOGS_OVERLOADED: {
    status: 503,
    blame: 'load',
    title: 'The limit of readers that follow logs at once is reached',
    fix: 'End another "sdk logs --follow", or read the last lines without following.',
  },
  SLOT_IDLE: {
    status: 409,
    blame: 'caller',
    title: 'No cell has a slot of the version loaded',
    fix: 'Send requests to the version, for example with "sdk invoke SCENE --version VERSION", then profile it.',
  },
  PROFILE_BUSY: {
    status: 409,
    blame: 'load',
    title: 'The cell is taking another profile',
    fix: 'Try again when that one is done, or name another cell with --cell.',
  },
  PROFILE_FAILED: {
    status: 503,
    blame: 'load',
    title: 'The profile could not be taken',
    fix: 'Try again; if the message says that the slot ended, "sdk logs SCENE" has the reason.',
  },
  HEAP_TOO_LARGE: {
    status: 422,
    blame: 'caller',
    title: 'The heap is too large for a snapshot in a cell that serves',
    fix: 'Take it on a base whose cells have more memory (--cell-memory-mb), or while the slot holds less.',
  },
  TOKEN_NOT_FOUND: { status: 404, blame: 'caller', title: 'No such token', fix: 'List the tokens with "sdk token list".' },
  CELL_NOT_FOUND: { status: 404, blame: 'caller', title: 'No such cell', fix: 'List the cells with "base status".' },
  NO_CELLS: {
    status: 503,
    blame: 'base',
    title: 'No cell is connected',
    fix: 'Try again in a moment; if it stays so, read the log of the base.',
  },
  STORE_FULL: {
    status: 507,
    blame: 'base',
    title: 'The data folder has no room left',
    fix: 'Free space on the disk of the data folder; what is online stays online.',
  },

  // Starting and keeping a base
  OPTION_UNKNOWN: { status: 500, blame: 'base', title: 'No such option', fix: 'See "base start --help" for the options.' },
  OPTION_INVALID: { status: 500, blame: 'base', title: 'The value does not fit the option', fix: 'Give a value as the message says.' },
  CONFIG_UNREADABLE: {
    status: 500,
    blame: 'base',
    title: 'The config file cannot be read',
    fix: 'Check the path and that the file is one JSON object.',
  },
  SERVICE_START_FAILED: {
    status: 500,
    blame: 'base',
    title: 'A service of the config cannot be started',
    fix: 'Mend the service file or its entry under "services" in the config, as the message says.',
  },
  MEMORY_TOO_SMALL: {
    status: 500,
    blame: 'base',
    title: 'The memory of the machine or container is too small for the options',
    fix: 'Give it as much memory as the message says, or start with fewer --cells or a smaller --cell-memory-mb.',
  },
  WALL_MISSING: {
    status: 500,
    blame: 'base',
    title: 'This machine cannot confine the processes that run modules as --wall require asks',
    fix: 'Give the machine what the message says is missing, or start with --wall auto. See docs/security.md.',
  },
  MEMORY_SHORT: {
    status: 503,
    blame: 'base',
    title: 'The kernel ended the process because memory was short',
    fix: 'Give the base more memory, or take fewer --cells or a smaller --cell-memory-mb; then try again.',
  },
  PORT_TAKEN: {
    status: 500,
    blame: 'base',
    title: 'The port is in use',
    fix: 'Stop what uses it, or choose another with --port or --control-port.',
  },
  PORT_DENIED: {
    status: 500,
    blame: 'base',
    title: 'The port or host cannot be listened on',
    fix: 'Choose a port above 1023 and a host of this machine.',
  },
  DATA_UNWRITABLE: {
    status: 500,
    blame: 'base',
    title: 'The data folder cannot be written',
    fix: 'Give the user of the base the right to write there, or choose another folder with --data.',
  },
  DATA_LOCKED: {
    status: 500,
    blame: 'base',
    title: 'Another base runs on this data folder',
    fix: 'Stop that base, or choose another folder with --data.',
  },
  DATA_FORMAT_NEWER: {
    status: 500,
    blame: 'base',
    title: 'A newer Berth wrote this data folder',
    fix: 'Start it with that version of Berth, or restore a backup made with this one.',
  },
  DATA_DAMAGED: {
    status: 500,
    blame: 'base',
    title: 'The data folder is damaged',
    fix: 'Restore a backup: start a base with --data on its folder.',
  },
  DATA_NOT_FOUND: {
    status: 500,
    blame: 'base',
    title: 'There is no base in the data folder',
    fix: 'Give --data the folder that the base was started with.',
  },
  STORE_FAILED: {
    status: 500,
    blame: 'base',
    title: 'The disk of the data folder failed',
    fix: 'Look at the disk and the log of the system; the keeper starts again by itself and reads what was kept.',
  },
  RELEASE_INVALID: {
    status: 422,
    blame: 'caller',
    title: 'The data folder does not name a release to upgrade to',
    fix: 'Run "base upgrade" from the release that shall take over, as a user who may write in the data folder.',
  },
  RELEASE_FIXED: {
    status: 409,
    blame: 'caller',
    title: 'The base cannot be upgraded now',
    fix: 'Wait until what the message names is over; where it never is, stop the base and start the other release.',
  },
  RELEASE_REFUSED: {
    status: 500,
    blame: 'base',
    title: 'The other release could not take over; the one before serves on',
    fix: 'Mend what the message names, then run "base upgrade" again; the log of the base has more.',
  },
  BACKUP_TARGET_EXISTS: {
    status: 500,
    blame: 'base',
    title: 'The target of the backup is not empty',
    fix: 'Name a folder that does not exist yet.',
  },
  INTERNAL: { status: 500, blame: 'base', title: 'A defect of Berth', fix: 'Report it with the request id and the log around it.' },
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof table

/** Every code with its HTTP status, who is to blame, a title and what to do. */
export const errorTable: Readonly<Record<ErrorCode, ErrorRow>> = table

export const isErrorCode = (code: unknown): code is ErrorCode => typeof code === 'string' && Object.hasOwn(errorTable, code)

export interface BerthErrorOptions {
  readonly cause?: unknown
  /** More members for the problem document, for example `{ expected, actual }`. Must be JSON. */
  readonly extra?: Readonly<Record<string, unknown>>
  /** Seconds for a `Retry-After` header. */
  readonly retryAfterSeconds?: number
  /** What to do, when more is known than the table says. */
  readonly advice?: string | undefined
}

/**
 * A failure that has a row in the table. `message` starts with what could not be done, then why:
 * `Cannot serve scene "x": no such scene`.
 */
export class BerthError extends Error {
  readonly code: ErrorCode
  readonly extra: Readonly<Record<string, unknown>> | undefined
  readonly retryAfterSeconds: number | undefined
  readonly advice: string | undefined

  constructor(code: ErrorCode, message: string, options: BerthErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'BerthError'
    this.code = code
    this.extra = options.extra
    this.retryAfterSeconds = options.retryAfterSeconds
    this.advice = options.advice
  }

  get status(): number {
    return errorTable[this.code].status
  }

  get blame(): Blame {
    return errorTable[this.code].blame
  }
}

/** Turns anything thrown into a `BerthError`; what has no row in the table becomes `INTERNAL`, with the original as its cause. */
export function toBerthError(thrown: unknown): BerthError {
  if (thrown instanceof BerthError) return thrown
  return new BerthError('INTERNAL', `Internal error: ${messageOf(thrown)}`, { cause: thrown })
}

export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/** An RFC 9457 problem document. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly detail: string
  readonly blame: Blame
  readonly fix: string
  readonly [member: string]: unknown
}

/**
 * The problem document of an error.
 * @param members request-bound members such as `scene`, `version`, `requestId`; undefined ones are left out by JSON.
 */
export function toProblem(error: BerthError, members: Readonly<Record<string, unknown>> = {}): Problem {
  const row = errorTable[error.code]
  return {
    ...error.extra,
    type: `urn:berth:error:${error.code}`,
    title: row.title,
    status: row.status,
    code: error.code,
    // The message of an internal error may hold paths and other internals: only the log shows it, and the caller gets the request id.
    detail: error.code === 'INTERNAL' ? row.title : error.message,
    blame: row.blame,
    fix: error.advice ?? row.fix,
    ...members,
  }
}
