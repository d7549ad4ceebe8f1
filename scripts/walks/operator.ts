/** An operator: starts bases, finds them, looks after processes, disk, tables and tokens, and ends them. */
import type { Ground } from './ground.ts'

export const about = 'runs bases for others, and is called when something is wrong'

export async function walk(at: Ground): Promise<void> {
  const base = await at.try('start a base in a folder of its own', () => at.start('bin/base.cjs start'))
  await at.try('end it', () => base.stop())
}
