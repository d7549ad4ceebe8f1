/** What an isolate of `startGuest` runs: the code inside, and beside what a cell calls the functions that tests look at alone. */
import { mendRegExp } from '../../base/inside/built-ins/regexp.ts'
import inside from '../../base/inside/inside.ts'

const guestInside = { ...inside, mendRegExp }

export type GuestInside = typeof guestInside
export default guestInside
