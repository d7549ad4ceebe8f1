/** Rehearses a module in this process, for a debugger: see plain-isolates.ts. */
import type { FromRehearsal, RehearsalPlan, ToRehearsal } from '../wire/rehearsal-messages.ts'
import { FirstStop } from './first-stop.ts'
import { onExports, providePlainIsolates } from './plain-isolates.ts'
import { Stops } from './stops.ts'

export interface DebuggedRehearsal {
  /** Takes what the tests send once the rehearsal is open. */
  take(message: Exclude<ToRehearsal, { readonly type: 'open' }>): void
  /** Keeps this process running, or lets it end. */
  hold(isNeeded: boolean): void
  close(): void
}

/** Opens it as `open` opens one in a process of its own. @param send takes what it says, in later turns of the event loop */
export async function rehearseHere(plan: RehearsalPlan, send: (message: FromRehearsal) => void): Promise<DebuggedRehearsal> {
  providePlainIsolates()
  // Only now isolated-vm is what stands in for it.
  const { Rehearsal } = await import('./rehearsal.ts')
  const rehearsal = new Rehearsal(plan, message => void setImmediate(() => send(message)), new Stops())
  rehearsal.open()
  return rehearsal
}

/** The debugger stops in the first stage that runs in this process from now on. */
export function stopInFirstStage(): void {
  const stop = new FirstStop()
  onExports(exports => stop.expect(Object.values(exports)))
}
