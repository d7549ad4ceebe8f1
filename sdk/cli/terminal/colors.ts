/** Colour is for terminals only. This is apart from output.ts so that an error of the command line need not load the tables of that file. */
import pc from 'picocolors'

/**
 * Colours for a stream. There are none unless it is a terminal that can show them and NO_COLOR is not set; CI and FORCE_COLOR change
 * nothing.
 */
export function colorsFor(stream: NodeJS.WriteStream): ReturnType<typeof pc.createColors> {
  return pc.createColors(stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb')
}
