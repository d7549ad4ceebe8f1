/** What an isolate of `startGuest` runs: the code inside, and besides what a cell calls, functions that only tests look at. */
import { mendOpen } from '../../base/inside/built-ins/open.ts'
import inside from '../../base/inside/inside.ts'

const guestInside = { ...inside, mendOpen }

export type GuestInside = typeof guestInside
export default guestInside
