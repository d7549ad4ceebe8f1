/** Puts the labels of tokens beside their ids, wherever an answer says who did something. */
import type { AuditedChange } from '../../change/change.ts'
import type { AuditEntry } from '../../contract/audit-api.ts'
import type { Change } from '../../contract/change-api.ts'
import type { TokenBook } from './token-book.ts'

/** A record with the label of the token that `Member` names, as `who` and `whoLabel`. */
export type Labelled<Record, Member extends string> = Record & { readonly [M in Member as `${M}Label`]: string }

export class Names {
  readonly #tokens: TokenBook
  readonly #rowsAbout: (target: string) => readonly AuditedChange[]
  /** Labels never change, and ids are never used again. */
  readonly #labels = new Map<string, string>()

  /** @param rowsAbout rows of the audit log about a token, newest first; a revoked token has its label there */
  constructor(tokens: TokenBook, rowsAbout: (target: string) => readonly AuditedChange[]) {
    this.#tokens = tokens
    this.#rowsAbout = rowsAbout
  }

  /** The label of a token, even of one that was revoked since. An id without a label, such as `base`, stands for itself. */
  of(id: string): string {
    if (id === 'base') return id
    const known = this.#labels.get(id)
    if (known !== undefined) return known
    for (const token of this.#tokens.list()) this.#labels.set(token.id, token.label)
    const label = this.#labels.get(id) ?? this.#labelOfRevoked(id) ?? id
    this.#labels.set(id, label)
    return label
  }

  /** The record with the label of the token whose id is in that member. */
  beside<Member extends string, R extends { readonly [M in Member]: string }>(record: R, member: Member): Labelled<R, Member> {
    return { ...record, [`${member}Label`]: this.of(record[member]) } as Labelled<R, Member>
  }

  /** A row of the audit log as it is shown: with the label of who did it, and without what was made for the change, such as hashes of tokens. */
  audited({ kind, payload, facts: _, ...row }: AuditedChange): AuditEntry {
    return { ...this.beside(row, 'who'), change: kind === null ? null : ({ kind, payload } as Change) }
  }

  /** The members of a problem document, with the labels of those who changed what a conflict is about: beside their ids, and in the words. */
  inProblem<Members extends { readonly detail: string }>(members: Members): Members {
    const { changedBy, changes } = members as { readonly changedBy?: string; readonly changes?: readonly AuditedChange[] }
    return {
      ...members,
      ...(changedBy === undefined
        ? {}
        : { changedByLabel: this.of(changedBy), detail: members.detail.replace(`"${changedBy}"`, `"${this.of(changedBy)}"`) }),
      ...(changes === undefined ? {} : { changes: changes.map(row => this.audited(row)) }),
    }
  }

  /** The change that made the token, or the one that revoked it, still has the label. */
  #labelOfRevoked(id: string): string | undefined {
    for (const row of this.#rowsAbout(id)) {
      if (row.kind === 'create token' || row.kind === 'revoke token') return row.payload.label
      const isOfToken = row.kind === null && /^(create|revoke) token$/.test(row.action)
      const label = isOfToken ? (labelInWords(row.before) ?? labelInWords(row.after)) : undefined
      if (label !== undefined) return label
    }
    return undefined
  }
}

/** The label in a row that was written before changes were values. */
function labelInWords(state: unknown): string | undefined {
  const { label } = Object(state) as { readonly label?: unknown }
  return typeof label === 'string' ? label : undefined
}
