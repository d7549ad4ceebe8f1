/** Every message between the processes of a base. */
import type { Captured } from '../capsule/capsule.ts'
import type { WarmUpRequest } from '../capsule/warm-up-request.ts'
import type { Generation } from '../folder/paths.ts'
import type { UpgradeLog, UpgradeWish } from '../folder/upgrade-files.ts'
import type { ErrorCode } from '../kernel/errors.ts'
import type { Options } from '../kernel/options.ts'
import type { Release } from '../kernel/origin.ts'
import type { SourceAt } from '../kernel/stacks.ts'
import type { TableFacts, TableSource, TableState } from '../kernel/table-facts.ts'
import type { WallLayer, WallPlan } from '../kernel/wall-plan.ts'
import type { SceneTable, SlotPlan } from '../traffic/table.ts'

// Between the supervisor and its children, over the IPC channel that spawn opens.

/** The first message to every child. It comes with a listening handle: that of the scene port to a cell, that of the control port to the keeper. */
export interface Start {
  readonly type: 'start'
  readonly options: Options
  /** Ordinal of the cell, from 1; a replacement takes the ordinal of the cell it replaces. 0 for the keeper. */
  readonly cell: number
  /** The process id of the child as the supervisor sees it. In a namespace of its own, the child itself sees another one. */
  readonly pid: number
  /** What can confine the trials of the keeper. */
  readonly wall: WallPlan
  /** Whether the base is still given its first scenes. Then a scene that is not there may be about to come. `setUp` says when that is over. */
  readonly isSettingUp: boolean
  /** Which socket the keeper and the cells use. */
  readonly generation: Generation
  /**
   * Whether the base is taken over from another release. The keeper then proves that it can read the data folder, and waits for `takeOver`; a cell loads
   * what it can, however long that takes, and waits for `accept`.
   */
  readonly isHeir: boolean
  /** Whether the keeper takes changes from its start on, or waits with them for `takeChanges`. */
  readonly takesChanges: boolean
}

export type ToCell =
  | Start
  /** How many ready cells there are, and how many connections the others hold: a cell sheds connections when it has more than its share. */
  | { readonly type: 'share'; readonly cells: number; readonly others: number }
  /** Stop listening, answer every request that still comes with `Connection: close`, and exit 0 when the connections are closed or the time is over. */
  | { readonly type: 'retire' }
  /** The base has its first scenes. */
  | { readonly type: 'setUp' }
  /** The base is this release's now: accept connections. */
  | { readonly type: 'accept' }
  /** What was `unkept` is on its way to a keeper, and the cell may end. */
  | { readonly type: 'unkeptTaken' }

export type FromCell =
  /** The cell accepts connections, or waits for `accept`. `failures` are the baselines that it cannot answer. */
  | { readonly type: 'ready'; readonly failures: readonly SceneFailure[] }
  | { readonly type: 'heartbeat'; readonly connections: number; readonly inFlight: number }
  /** The cell cannot start, for a reason that an operator has to mend. It ends. */
  | { readonly type: 'refused'; readonly code: ErrorCode; readonly message: string }
  /**
   * The cell is lost: V8 is in a state that only the end of the process mends. Replace it, then kill it. `suspect` is the version whose code did
   * that, when the cell knows it. Sent once for each version that the cell is lost to.
   */
  | { readonly type: 'lost'; readonly reason: string; readonly suspect?: Omit<Suspect, 'runningMs' | 'isNamed'> }
  /** The cell is about to end, and its keeper is away. Answered with `unkeptTaken`. */
  | ({ readonly type: 'unkept' } & Unkept)

/** What a cell that ends has not got to a keeper. */
export interface Unkept {
  /** Its ordinal. */
  readonly cell: number
  readonly records: readonly LogRecord[]
  readonly kills: readonly SlotKills[]
}

export type ToKeeper =
  | Start
  /** Of a cell that has ended, which another release may have started. */
  | ({ readonly type: 'unkept' } & Unkept)
  | {
      readonly type: 'cells'
      /** The id of this run of the base. */
      readonly base: string
      readonly cells: readonly CellStatus[]
      readonly port: number
      readonly memory: MemoryStatus
      readonly wall: readonly WallLayer[]
      readonly isSettingUp: boolean
      readonly troubles: readonly Trouble[]
      readonly release: RunningRelease
      /** The last upgrade of the base. */
      readonly upgrade: UpgradeLog | undefined
    }
  /** Every cell that was lost to the code that it ran and that the keeper has not yet acknowledged, the oldest first. Answered with `lossesKept`. */
  | { readonly type: 'losses'; readonly losses: readonly CellLoss[] }
  /** The data folder is the keeper's: the one of the other release has stopped. */
  | { readonly type: 'takeOver' }
  /** No process of another release serves any more, so that changes can be acknowledged. */
  | { readonly type: 'takeChanges' }
  | { readonly type: 'stop' }

export type FromKeeper =
  | { readonly type: 'ready'; readonly controlPort: number }
  | { readonly type: 'heartbeat' }
  /** Retire this cell once its replacement is ready. */
  | { readonly type: 'retire'; readonly cell: number }
  /** End this cell at once: it is lost, has not taken a table, and may serve with rights that were revoked. */
  | { readonly type: 'endStale'; readonly pid: number }
  /** The losses up to this number are kept, with what follows from them, and need not be sent again. */
  | { readonly type: 'lossesKept'; readonly upTo: number }
  /** It can read the data folder. `about` says what it has found, for people. */
  | { readonly type: 'proved'; readonly about: string }
  /** The base shall be upgraded. `failing` are the baselines that some cell cannot answer now, as `scene/version`. */
  | {
      readonly type: 'upgrade'
      readonly wish: UpgradeWish
      readonly by: string
      readonly timeoutMs: number
      readonly failing: readonly string[]
    }
  /** The keeper cannot start, for a reason that an operator has to mend. It ends. */
  | { readonly type: 'refused'; readonly code: ErrorCode; readonly message: string }

/** The release that has the base. */
export interface RunningRelease extends Release {
  /** ISO 8601, since when. */
  readonly since: string
  /** Why it cannot be replaced by another release now; null when it can. */
  readonly fixed: string | null
}

export interface CellStatus {
  readonly cell: number
  readonly pid: number
  readonly state: 'starting' | 'ready' | 'retiring'
  readonly rssMB: number
  readonly connections: number
  readonly startedAt: string
  /** How often this cell was replaced after a crash or kill since the base started. */
  readonly crashes: number
}

/** What keeps a process of the base from running as it should, and needs an operator when it lasts. */
export interface Trouble {
  /** `cell 2`, `keeper` or `base`. */
  readonly process: string
  /** In words, with what to do where that is known. */
  readonly problem: string
}

/** A cell that was lost to the code that it ran: it ended by itself, had to be killed, or said that it cannot go on. */
export interface CellLoss {
  /** Counts the losses since the base started, from 1. */
  readonly no: number
  /** Its ordinal. */
  readonly cell: number
  readonly pid: number
  /** ISO 8601. */
  readonly at: string
  /** In words, for example `signal SIGABRT` or `slot s/v3 cannot be stopped`. */
  readonly why: string
  /**
   * Whether the process ended by itself while it served, so that code which ran then has done it. What runs in a cell that is killed, for its memory or
   * because it is silent, or in one that retires, need not be the cause.
   */
  readonly endedItself: boolean
  /** The versions whose code ran then, the longest running first. Only they may be the cause. */
  readonly suspects: readonly Suspect[]
}

export interface Suspect {
  readonly scene: string
  readonly version: string
  /** Milliseconds since its code began to run. */
  readonly runningMs: number
  /** Whether the cell itself has named it as the cause. */
  readonly isNamed: boolean
  /** Where its code was last seen, as far as that is known: the stage, or the module that was being loaded. */
  readonly stage?: string | undefined
  readonly module?: string | undefined
}

/** The memory of the base, as the supervisor sees it. */
export interface MemoryStatus {
  /** MB that all its processes may use together. */
  readonly limitMB: number
  /** The file that says so; null when it is the memory of the machine. */
  readonly limitFile: string | null
  /** MB that it may come to use with its options. */
  readonly neededMB: number
  /** Processors that it may use. */
  readonly cores: number
  /** Cells and keepers that the kernel has killed for want of memory since the base started. */
  readonly kernelKills: number
  /** What that means and what to do about it; null when there were none. */
  readonly shortage: string | null
}

// Between cells and the keeper, over a local socket, one JSON object a line.

/** Why a version cannot answer in a cell. */
export interface SceneFailure {
  readonly scene: string
  readonly version: string
  readonly code: ErrorCode
  readonly message: string
}

/** Why a version could not be loaded, with what whoever may see its sources is shown of the stack. */
export interface LoadFailure extends SceneFailure {
  readonly stack?: string | undefined
  readonly frame?: string | undefined
  readonly at?: SourceAt | undefined
}

/** What a base service cannot offer as it should at present, by its own account: of `features`, the name of a broken table. */
export interface ServiceFault {
  readonly service: string
  readonly name: string
}

/** A base service that a cell offers. */
export interface OfferedService {
  readonly name: string
  readonly methods: readonly OfferedMethod[]
}

/** A method of a service, with the JSON schemas that its code gives for the list of its arguments, and for its answer if it says that. */
export interface OfferedMethod {
  readonly name: string
  readonly input: unknown
  readonly output?: unknown
}

/** A line that a module has logged, or an error of a version. */
export interface LogRecord {
  /** ISO 8601, when it was written. */
  readonly at: string
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly scene: string
  readonly version: string
  readonly message: string
  /** `name@version`. */
  readonly module?: string | undefined
  readonly stage?: string | undefined
  readonly requestId?: string | undefined
  /** Of an error. */
  readonly code?: ErrorCode | undefined
  /** JSON of the fields. When it was cut off at the limit, it is no JSON any more. */
  readonly fields?: string | undefined
  /** Mapped to the source. */
  readonly stack?: string | undefined
  /** The place in the source that threw, with the lines around it. */
  readonly frame?: string | undefined
  /** Lines of a version with the same text here say the same, whichever cell they come from; only the first is kept. */
  readonly once?: string | undefined
  /** Lines of the version that were dropped before this one. */
  readonly dropped?: number | undefined
}

/** Slots of a version that were killed in a cell since it last said so. */
export interface SlotKills {
  readonly scene: string
  readonly version: string
  readonly kills: number
  /** Answers of the version in the cell since it last said so, or since the cell began. */
  readonly answers: number
  /** Why the last of them was killed. */
  readonly why: string
}

export interface ProfileRequest {
  readonly scene: string
  readonly version: string
  /** `cpu` samples where the time goes, `heap` writes out what the heap holds. */
  readonly kind: 'cpu' | 'heap'
  /** How long a CPU profile samples. */
  readonly seconds: number
}

/** How a profile was taken. */
export interface ProfileFacts {
  /** Milliseconds of CPU that the slot used while it was profiled. */
  readonly cpuMs: number
  /** Milliseconds that the slot was held up for it. */
  readonly heldMs: number
}

/** How a slot is to warm up. */
export interface WarmUpJob {
  readonly plan: SlotPlan
  readonly requests: readonly WarmUpRequest[]
  /** Milliseconds of CPU that a request may use in one go. */
  readonly cpuMs: number
  /** Milliseconds. */
  readonly msMax: number
  /** Whether each request is answered at most once. Otherwise they are answered again and again until the slot is warm. */
  readonly once: boolean
}

export interface Refusal {
  readonly code: ErrorCode
  readonly message: string
}

export type CellToKeeper =
  /** The first message on each connection. It says which table is in force in the cell, as `applied` does. */
  | {
      readonly type: 'hello'
      readonly cell: number
      readonly pid: number
      readonly revision: number
      readonly failures: readonly SceneFailure[]
      /** Not given by a cell of an earlier release. */
      readonly services?: readonly OfferedService[]
      readonly isLost?: boolean
    }
  /** The cell is lost, and about to be replaced: it should be asked for nothing, and still takes tables. */
  | { readonly type: 'lost' }
  /** This table is in force in the cell; `failures` are its baselines that cannot answer. */
  | { readonly type: 'applied'; readonly revision: number; readonly failures: readonly SceneFailure[] }
  /** What services cannot offer, at most `limits.services.faultsMax`. Sent when it has changed; a new connection begins with none. */
  | { readonly type: 'serviceFaults'; readonly faults: readonly ServiceFault[] }
  /** Every feature table of the cell. Sent when that has changed, and on each new connection. */
  | { readonly type: 'features'; readonly tables: readonly TableState[] }
  /** The table is read and waits for a scene table that names it, or cannot be used. */
  | { readonly type: 'featuresPrepared'; readonly request: number; readonly facts?: TableFacts; readonly failure?: Refusal }
  /** JSON of an object with the version of the table and the rows. */
  | { readonly type: 'featureRows'; readonly request: number; readonly json?: string; readonly failure?: Refusal }
  /** From this address, more requests in a minute had a token that is not known than are allowed. Sent once for each such minute. */
  | { readonly type: 'tokenGuesses'; readonly address: string }
  /** Slots that were killed, those too that were killed while they were loaded. Lost while the keeper is away. */
  | { readonly type: 'kills'; readonly kills: readonly SlotKills[] }
  | { readonly type: 'prepared'; readonly request: number; readonly failure?: LoadFailure }
  /** The slot is in use again, or was thrown away over it and loaded anew if that could be done. */
  | { readonly type: 'warmedUp'; readonly request: number; readonly isGood: boolean; readonly failure?: LoadFailure }
  /** The cell has loaded these versions to begin with, and would warm them up before it serves. It is answered with `warmUp` for some of them, then `warmUpsOver`. */
  | { readonly type: 'loaded'; readonly plans: readonly Pick<SlotPlan, 'scene' | 'version'>[] }
  | { readonly type: 'metrics'; readonly request: number; readonly metrics: readonly unknown[] }
  /** Answered with `logsKept`. Batches without that answer when the connection ends are sent again over the next connection. */
  | { readonly type: 'logs'; readonly batch: number; readonly records: readonly LogRecord[] }
  /**
   * Requests that recorders have answered, each with what entered its slot since the last one. They come in the order of their recording, and are lost while
   * the keeper is away: then no more of that recording comes. Answered only when one cannot be kept, with `recordingOver`.
   */
  | { readonly type: 'captured'; readonly captured: readonly Captured[] }
  /** Milliseconds of CPU that the slot has used since it was made; undefined when none is loaded. */
  | { readonly type: 'slotFound'; readonly request: number; readonly cpuMs?: number | undefined }
  /** Milliseconds since each version of the scene was called last; those that have no slot, or whose slot has answered nothing, are left out. */
  | { readonly type: 'callsFound'; readonly request: number; readonly calledMsAgo: Readonly<Record<string, number>> }
  /** The profile has been taken and can be fetched, or cannot be taken. */
  | { readonly type: 'profiled'; readonly request: number; readonly facts?: ProfileFacts; readonly failure?: Refusal }
  /** The next piece of the lines of JSON that V8 wrote. After the last piece there is no `text`. */
  | { readonly type: 'profilePiece'; readonly request: number; readonly text?: string | undefined; readonly failure?: Refusal }

export type KeeperToCell =
  | { readonly type: 'table'; readonly table: SceneTable }
  /** Load this slot beside those that run, and keep it until a table routes to it. */
  | { readonly type: 'prepare'; readonly request: number; readonly plan: SlotPlan }
  /** Have the loaded slot answer these requests, whose answers nobody gets, unless it has had others. */
  | { readonly type: 'warmUp'; readonly request: number; readonly job: WarmUpJob }
  | { readonly type: 'warmUpsOver' }
  /** Read this feature table beside the one in force, and keep it for a scene table that names it. */
  | { readonly type: 'prepareFeatures'; readonly request: number; readonly table: TableSource }
  /** Asks for rows of a feature table: those of the keys, or without keys the first ones. */
  | { readonly type: 'readFeatures'; readonly request: number; readonly table: string; readonly keys?: readonly string[] }
  | { readonly type: 'collectMetrics'; readonly request: number }
  | { readonly type: 'logsKept'; readonly batch: number }
  /** No more of this recording can be kept: what came last is not on the disk, or it was deleted or had to make room. */
  | { readonly type: 'recordingOver'; readonly recording: string }
  | { readonly type: 'findSlot'; readonly request: number; readonly scene: string; readonly version: string }
  | { readonly type: 'findCalls'; readonly request: number; readonly scene: string }
  | { readonly type: 'profile'; readonly request: number; readonly profile: ProfileRequest }
  /** Asks for the next piece of a profile. `profile` is the number of the request that it was taken for. */
  | { readonly type: 'fetchProfile'; readonly request: number; readonly profile: number }
  /** Nobody wants the profile any more. */
  | { readonly type: 'endProfile'; readonly profile: number }

// Between the keeper and a trial, the process in which it runs a bundle before it accepts it, over IPC.

export interface TrialRequest {
  readonly type: 'try'
  readonly name: string
  readonly stages: readonly string[]
  readonly bundle: string
}

export type TrialReply =
  | { readonly type: 'waiting' }
  | { readonly type: 'passed' }
  /** `stack` is the one that V8 made. */
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly message: string; readonly stack?: string | undefined }
