/** What an isolate of `startGuest` runs: the code inside, and besides what a cell calls, functions that only tests look at. */
import { mendRegExp } from '../../base/inside/built-ins/regexp.ts'
import inside from '../../base/inside/inside.ts'

const guestInside = { ...inside, mendRegExp }

export type GuestInside = typeof guestInside
export default guestInside
