/** The labels of tokens, beside their ids wherever an answer says who did something. */
import type { Registry } from '../book/registry.ts'

/** A record with the label of the token that `Member` names, as `who` and `whoLabel`. */
export type Labelled<Record, Member extends string> = Record & { readonly [M in Member as `${M}Label`]: string }

export class Names {
  readonly #registry: Registry
  /** Labels never change, and ids are never used again. */
  readonly #labels = new Map<string, string>()

  constructor(registry: Registry) {
    this.#registry = registry
  }

  /** The label of a token, also of one that was revoked since; the id of whoever has none, such as `base`. */
  of(id: string): string {
    const known = this.#labels.get(id)
    if (known !== undefined) return known
    for (const token of this.#registry.tokens()) this.#labels.set(token.id, token.label)
    const label = this.#labels.get(id) ?? this.#labelOfRevoked(id)
    if (label !== undefined) this.#labels.set(id, label)
    return label ?? id
  }

  /** The record with the label of the token whose id is in that member. */
  beside<Member extends string, R extends { readonly [M in Member]: string }>(record: R, member: Member): Labelled<R, Member> {
    return { ...record, [`${member}Label`]: this.of(record[member]) } as Labelled<R, Member>
  }

  /** The members of a problem document, with labels beside the ids of those who changed what a conflict is about. */
  inProblem(members: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const { changedBy, changes } = members as { readonly changedBy?: string; readonly changes?: readonly { readonly who: string }[] }
    return {
      ...members,
      ...(changedBy === undefined ? {} : { changedByLabel: this.of(changedBy) }),
      ...(changes === undefined ? {} : { changes: changes.map(row => this.beside(row, 'who')) }),
    }
  }

  /** The audit row of its creation, or that of its end, has the label still. */
  #labelOfRevoked(id: string): string | undefined {
    const rows = this.#registry.audit(10, undefined, id)
    const states = rows.flatMap(({ before, after }) => [before, after]) as ({ readonly label?: unknown } | null)[]
    return states.map(state => state?.label).find(label => typeof label === 'string')
  }
}
