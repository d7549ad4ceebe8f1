/**
 * What the cell hands to an isolate. The bundle is the body of a function that the cell calls once in each isolate, before any module is
 * loaded; `given` are the arguments of that call. So the variables of all files here exist once per isolate, and no module can reach them.
 */
import { type Given, LAZY_PARTS, type LazyPart } from './protocol.ts'

declare const given: Given

const [postToCell, cursorMemory, clockMemory, bounds, randomSeed, tapeMemory, ...partTexts] = given

export const post = postToCell
export const limits = bounds
/** 64 hexadecimal digits, from which all chance inside comes. */
export const seed = randomSeed
/** The memory that `CURSOR` describes. */
export const cursor = new Float64Array(cursorMemory)
/** The memory that `CLOCK` describes. */
export const clock = new Float64Array(clockMemory)

/** The memory that `TAPE` describes. Ordinary slots have none. */
export const tape = tapeMemory === undefined ? undefined : new Float64Array(tapeMemory)

/** The script of a lazy part. */
export const partText = (part: LazyPart): string => partTexts[LAZY_PARTS.indexOf(part)] as string
