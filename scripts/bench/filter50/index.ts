import type { Input } from '../rank50/index.ts'

/** Leaves out candidates that cost much more than the budget. */
export function filter({ user, candidates }: Input): Input {
  return { user, candidates: candidates.filter(({ price }) => price <= user.budget * 1.5) }
}
