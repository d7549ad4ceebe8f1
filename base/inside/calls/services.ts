/** `ctx.services`: the base services that a version may use. */

import type { Request } from '../open-request.ts'
import { assign, create, entries, freeze, fromEntries } from '../primordials.ts'
import type { ServiceNames } from '../protocol.ts'
import { ask } from './calls.ts'

export type Services = Readonly<Record<string, Readonly<Record<string, (...values: unknown[]) => Promise<unknown>>>>>

let offered: ServiceNames = {}
/** The prototypes of `ctx.services` and of each service, which say what is missing. They are made once and shared by all requests. */
let noService: object | null = null
const noMethods = new Map<string, object>()

/** Sets the services that requests may use from now on. */
export function offer(services: ServiceNames): void {
  offered = services
  noService = sayingNo(
    name => `Cannot use ctx.services.${name}: no module of this group declares it; add "${name}" to berth.services in package.json`,
  )
  noMethods.clear()
  for (const [service, methods] of entries(services)) {
    const has = methods.join(', ')
    noMethods.set(
      service,
      sayingNo(name => `Cannot call ctx.services.${service}.${name}: the service has no such method, only ${has}`),
    )
  }
}

/** An object that throws for every property, except those that the language itself looks for in order to await or print an object. */
function sayingNo(why: (name: string) => string): object {
  return new Proxy(freeze({}), {
    get(target, name, receiver) {
      if (typeof name === 'symbol' || name === 'then' || name === 'toJSON' || name in target) return Reflect.get(target, name, receiver)
      throw new Error(why(name))
    },
  })
}

export function servicesFor(caller: Request): Services {
  const method = (service: string, name: string) => [name, (...values: unknown[]) => ask(caller, service, name, values)] as const
  const methodsOf = ([service, names]: [string, readonly string[]]) =>
    [service, frozenWith(noMethods.get(service) ?? null, fromEntries(names.map(name => method(service, name))))] as const
  return frozenWith(noService, fromEntries(entries(offered).map(methodsOf)))
}

const frozenWith = <T extends object>(prototype: object | null, members: T): T => freeze(assign(create(prototype), members))
