/**
 * How a base passes from the supervisor of one release to that of another, as the old one sees it: which step follows from which event. It takes no step
 * itself and has no clock. Until `ready` every failure leads back to the old release; the old supervisor alone decides which of the two has the base.
 */

/** What the heir is at, as far as all goes well. */
export type Stage =
  /** Its process starts. */
  | 'start'
  /** It checks its options and whether it can read the data folder. */
  | 'check'
  /** The old keeper stops. */
  | 'stop keeper'
  /** Its keeper starts on the data folder. */
  | 'start keeper'
  /** Its cells load every scene. */
  | 'load scenes'

export type Succession =
  /** No other release is involved. */
  | { readonly is: 'alone' }
  | { readonly is: 'passing'; readonly stage: Stage }
  /**
   * The heir has failed. `heir` is whether it still has to end, `keeper` what has become of the old one.
   */
  | { readonly is: 'failing'; readonly why: string; readonly heir: boolean; readonly keeper: Keeper }
  /** The heir is gone, and the old keeper is started again. */
  | { readonly is: 'returning'; readonly why: string }
  /** The heir has the base. */
  | { readonly is: 'left' }

type Keeper = 'runs' | 'stops' | 'is gone'

export type SuccessionEvent =
  /** Another release is asked to take over. */
  | { readonly type: 'asked' }
  /** The heir runs. */
  | { readonly type: 'hello' }
  /** The heir has checked all that it can before it has the data folder. */
  | { readonly type: 'proved' }
  /** The old keeper has stopped. */
  | { readonly type: 'stopped' }
  /** The keeper of the heir runs. */
  | { readonly type: 'keeping' }
  /** The cells of the heir have loaded every scene. */
  | { readonly type: 'ready' }
  /** The heir says that it cannot go on, or the base is about to stop. */
  | { readonly type: 'failed'; readonly why: string }
  /** The time of the heir is over. */
  | { readonly type: 'late'; readonly seconds: number }
  /** The process of the heir has ended, and so have all of its own. */
  | { readonly type: 'ended'; readonly how: string }
  /** The old keeper runs again. */
  | { readonly type: 'returned' }

export type Action =
  | { readonly do: 'start heir' }
  | { readonly do: 'offer' }
  | { readonly do: 'stop keeper' }
  | { readonly do: 'give' }
  | { readonly do: 'leave' }
  | { readonly do: 'end heir' }
  /** Takes the lock again, and starts the old keeper. */
  | { readonly do: 'take back' }
  /** Says that all is as it was before, and why. */
  | { readonly do: 'report'; readonly why: string }

export interface Next {
  readonly state: Succession
  readonly actions: readonly Action[]
}

export const alone: Succession = { is: 'alone' }

/** What follows from an event. One that is late, or that nobody should send now, changes nothing. */
export function next(state: Succession, event: SuccessionEvent): Next {
  if (state.is === 'alone' && event.type === 'asked') return passing('start', 'start heir')
  if (state.is === 'passing') return nextWhilePassing(state.stage, event) ?? stay(state)
  if (state.is === 'failing') return nextWhileFailing(state, event)
  if (state.is === 'returning' && event.type === 'returned') return { state: alone, actions: [{ do: 'report', why: state.why }] }
  return stay(state)
}

const stay = (state: Succession): Next => ({ state, actions: [] })

const passing = (stage: Stage, action?: 'start heir' | 'offer' | 'stop keeper' | 'give'): Next => ({
  state: { is: 'passing', stage },
  actions: action === undefined ? [] : [{ do: action }],
})

function nextWhilePassing(stage: Stage, event: SuccessionEvent): Next | undefined {
  if (event.type === 'failed') return fail(stage, event.why)
  if (event.type === 'late') return fail(stage, `it did not serve within ${event.seconds} s: that passed ${purposes[stage]}`)
  if (event.type === 'ended') return settle({ is: 'failing', why: endOf(stage, event.how), heir: false, keeper: keeperAt(stage) })
  if (stage === 'start' && event.type === 'hello') return passing('check', 'offer')
  if (stage === 'check' && event.type === 'proved') return passing('stop keeper', 'stop keeper')
  if (stage === 'stop keeper' && event.type === 'stopped') return passing('start keeper', 'give')
  if (stage === 'start keeper' && event.type === 'keeping') return passing('load scenes')
  if (stage === 'load scenes' && event.type === 'ready') return { state: { is: 'left' }, actions: [{ do: 'leave' }] }
  return undefined
}

/** What the heir was at when it ended. */
const purposes: Readonly<Record<Stage, string>> = {
  start: 'while it started',
  check: 'while it checked the data folder',
  'stop keeper': 'while it waited for the data folder',
  'start keeper': 'while it started its keeper',
  'load scenes': 'while its cells loaded the scenes',
}

const endOf = (stage: Stage, how: string): string => `its supervisor ended (${how}) ${purposes[stage]}`

const keeperAt = (stage: Stage): Keeper => {
  if (stage === 'stop keeper') return 'stops'
  return stage === 'start' || stage === 'check' ? 'runs' : 'is gone'
}

function fail(stage: Stage, why: string): Next {
  return { state: { is: 'failing', why, heir: true, keeper: keeperAt(stage) }, actions: [{ do: 'end heir' }] }
}

type Failing = Extract<Succession, { is: 'failing' }>

function nextWhileFailing(state: Failing, event: SuccessionEvent): Next {
  if (event.type === 'ended') return settle({ ...state, heir: false })
  if (event.type === 'stopped' && state.keeper === 'stops') return settle({ ...state, keeper: 'is gone' })
  return stay(state)
}

/** The data folder is taken back only when nobody else can have it. */
function settle(state: Failing): Next {
  const { why, heir, keeper } = state
  if (heir || keeper === 'stops') return stay(state)
  if (keeper === 'runs') return { state: alone, actions: [{ do: 'report', why }] }
  return { state: { is: 'returning', why }, actions: [{ do: 'take back' }] }
}
