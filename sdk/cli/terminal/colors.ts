/** Colour is for terminals only. Apart from the tables of output.ts, so that an error of the command line loads nothing else. */
import pc from 'picocolors'

/** Colours for a stream: none unless it is a terminal that can show them and NO_COLOR is not set; CI and FORCE_COLOR change nothing. */
export function colorsFor(stream: NodeJS.WriteStream): ReturnType<typeof pc.createColors> {
  return pc.createColors(stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb')
}
