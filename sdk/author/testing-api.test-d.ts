/** What `@berth/sdk/testing` offers is implemented, with the same types. The compiler checks this file; it is never run. */
import type * as Offered from '@berth/sdk/testing'
import * as implemented from './testing.ts'

export const offered: typeof Offered = implemented
