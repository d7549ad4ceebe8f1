/**
 * The types that schemas describe, for those who read the values, and the check that a schema describes a type that is declared elsewhere.
 */
import type { Static, TSchema } from 'typebox'

/**
 * A type as JSON carries it between two parties. Neither may change the value, and a member that is undefined is a member that is not
 * there.
 */
export type Plain<T> = T extends readonly unknown[]
  ? { readonly [K in keyof T]: Plain<T[K]> }
  : T extends object
    ? { readonly [K in keyof T]: Plain<T[K]> | (IsOptional<T, K> extends true ? undefined : never) }
    : T

type IsOptional<T, K extends keyof T> = string extends K ? false : Record<never, never> extends Pick<T, K> ? true : false

/** What a schema describes. */
export type Shape<S extends TSchema> = Plain<Static<S>>

/**
 * Whether two types are the same. TypeScript assigns one conditional type to another only when the types that they ask about are identical.
 */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** Takes a schema of exactly `T`, which is declared where the schema may not be. When the two differ, the code does not compile. */
export const schemaOf =
  <T>() =>
  <S extends TSchema>(schema: S & (Same<Shape<S>, Plain<T>> extends true ? unknown : { readonly 'differs from the type': Shape<S> })): S =>
    schema
