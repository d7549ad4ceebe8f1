/** Makes the table: runs cases on bases, and judges each. */
import { messageOf } from '../../base/kernel/errors.ts'
import type { NamedCase } from './case.ts'
import { Ground } from './ground.ts'
import { changeOf, faultsOf, type Judging, type Saved, savedOf } from './judge.ts'
import { type Observed, runCase } from './run.ts'

export interface Row {
  readonly name: string
  readonly family: string
  /** Undefined when the case could not be run to its end. */
  readonly seen: Observed | undefined
  readonly saved: Saved | undefined
  /** How it differs from what was saved; undefined when it does not. */
  readonly change: string | undefined
  readonly faults: readonly string[]
}

export interface TableSettings extends Judging {
  readonly saved: Readonly<Record<string, Saved>>
  readonly onRow: (row: Row) => void
}

/**
 * Runs each group of cases on a base of its own, so that no group finds what another has left. When a case leaves a base without cells, or burning,
 * or has a module that turns bad, those after it get a new one.
 */
export async function makeTable(groups: Iterable<readonly NamedCase[]>, settings: TableSettings): Promise<Row[]> {
  const rows: Row[] = []
  for (const group of groups) {
    let left = group
    while (left.length > 0) {
      const done = await runOnOneBase(left, settings)
      rows.push(...done)
      left = left.slice(done.length)
    }
  }
  return rows
}

/** Runs cases until one of them breaks the base or does not let it rest. @returns a row for each that was run */
async function runOnOneBase(cases: readonly NamedCase[], settings: TableSettings): Promise<Row[]> {
  const rows: Row[] = []
  const ground = await Ground.open()
  let orphans = 0
  try {
    await ground.publish(cases.filter(({ turnsBad }) => !turnsBad))
    for (const each of cases) {
      const row = await rowOf(ground, each, settings)
      rows.push(row)
      settings.onRow(row)
      // What still burns, has left the base without cells, or is bad for each new cell must not be seen in the rows after it.
      if (!row.seen?.isIdle || each.turnsBad) break
    }
  } finally {
    orphans = await ground.close()
  }
  const last = rows.at(-1)
  if (last === undefined || orphans === 0) return rows
  return [...rows.slice(0, -1), { ...last, faults: [...last.faults, `${orphans} processes outlived the base when it was killed`] }]
}

async function rowOf(ground: Ground, each: NamedCase, settings: TableSettings): Promise<Row> {
  const { name, family } = each
  try {
    const seen = await runCase(ground, each)
    const saved = savedOf(each, seen)
    return { name, family, seen, saved, change: changeOf(settings.saved[name], saved), faults: faultsOf(each, seen, settings) }
  } catch (error) {
    return { name, family, seen: undefined, saved: undefined, change: undefined, faults: [messageOf(error)] }
  }
}
