/** What all readers of CSV have in common: the form of the files, and where in them a fault is. The parser itself is csv-parse. */
import type { Options } from 'csv-parse'

/** Records end with LF, CR LF or CR, mixed or not. Empty lines between them do not count. */
export const csvForm = { info: true, skip_empty_lines: true, record_delimiter: ['\r\n', '\n', '\r'] } as const satisfies Options

export type Delimiter = ',' | ';' | '\t'

/** Names of delimiters for messages. */
const NAMES: Readonly<Record<Delimiter, string>> = { ',': 'commas', ';': 'semicolons', '\t': 'tabs' }

/**
 * The delimiter of a file, which is the one that its header has outside of quotes; a comma when it has none.
 * @returns also what is wrong, when the header has several
 */
export function delimiterOf(text: string): { readonly delimiter: Delimiter; readonly fault: string | undefined } {
  const header = /^[\r\n]*((?:"(?:[^"]|"")*"|[^"\r\n])*)/.exec(text)?.[1] ?? ''
  const bare = header.replaceAll(/"(?:[^"]|"")*"/g, '')
  const found = (Object.keys(NAMES) as Delimiter[]).filter(delimiter => bare.includes(delimiter))
  return { delimiter: found[0] ?? ',', fault: headerFault(bare, found) }
}

function headerFault(bare: string, found: readonly Delimiter[]): string | undefined {
  if (/^\W*sep=/i.test(bare)) return 'its first line says "sep=", which only Excel reads: remove that line'
  const names = found.map(delimiter => NAMES[delimiter]).join(' and ')
  if (found.length > 1) return `its header has both ${names}: put a name that has one of them in quotes`
  if (found.length > 0 || !bare.includes('|')) return undefined
  return 'its header has "|", which separates no fields: use commas, semicolons or tabs, or put the name in quotes'
}

/** A fault of a CSV text in words, and its line: that on which the record begins, or where the quote was opened that is not closed. */
export interface CsvFault {
  readonly line: number
  readonly message: string
}

interface ParserError {
  readonly code?: string
  readonly records?: number
  readonly message: string
}

/** How many records are before the one for which csv-parse has failed; undefined for another error. More may have been parsed than were read from it. */
export const recordsBefore = (error: unknown): number | undefined => (error as ParserError).records

/**
 * Puts an error of csv-parse into words.
 * @param places the text was written to it from its beginning
 */
export function csvFault(error: ParserError, places: CsvPlaces): CsvFault {
  const { line, quoteLine } = places
  switch (error.code) {
    case 'CSV_RECORD_INCONSISTENT_FIELDS_LENGTH':
      return { line, message: error.message.replace(/ on line \d+$/, '') }
    case 'CSV_QUOTE_NOT_CLOSED':
      return { line: quoteLine, message: 'the quote that opens here is never closed' }
    case 'CSV_INVALID_CLOSING_QUOTE':
      return {
        line: quoteLine,
        message: 'after the quote that closes the field that opens here, there is more of the field: write "" for a quote',
      }
    case 'INVALID_OPENING_QUOTE':
      return { line, message: 'there is a quote within a field that has none around it: put the field in quotes, and write "" for a quote' }
    default:
      return { line, message: error.message }
  }
}

/**
 * Finds where a record begins, for messages: csv-parse knows only how many lines it has read. It is given the text once more, in parts of any length.
 */
export class CsvPlaces {
  readonly #delimiter: string
  /** Records that are before the one that is looked for. */
  #before: number
  #current = 1
  #state: 'start' | 'bare' | 'quoted' | 'quote' = 'start'
  #isEmpty = true
  #last = ''
  #done = false
  /** The line on which the record begins. */
  line = 1
  /** The line on which the last of its quotes was opened. */
  quoteLine = 1

  /** @param records how many records are before the one that is looked for */
  constructor(records: number, delimiter: Delimiter = ',') {
    this.#before = records
    this.#delimiter = delimiter
  }

  write(text: string): this {
    for (let i = 0; i < text.length && !this.#done; i++) this.#take(text.charAt(i))
    return this
  }

  #take(char: string): void {
    const isSecondOfTwo = char === '\n' && this.#last === '\r'
    this.#last = char
    const isLineEnd = char === '\n' || char === '\r'
    if (this.#state === 'quoted') {
      if (char === '"') this.#state = 'quote'
    } else if (this.#state === 'quote' && char === '"') this.#state = 'quoted'
    else if (isLineEnd) this.#endRecord()
    else if (char === this.#delimiter) this.#begin('start')
    else if (char === '"' && this.#state === 'start') this.#openQuote()
    else if (this.#state === 'quote') this.#done = this.#before === 0
    else this.#begin('bare')
    if (isLineEnd && !isSecondOfTwo) this.#current++
    if (this.#isEmpty && !this.#done) this.line = this.#current
  }

  #begin(state: 'start' | 'bare' | 'quoted'): void {
    if (this.#isEmpty) this.line = this.#current
    this.#isEmpty = false
    this.#state = state
  }

  #openQuote(): void {
    this.#begin('quoted')
    this.quoteLine = this.#current
  }

  #endRecord(): void {
    this.#state = 'start'
    if (this.#isEmpty) return
    this.#done = this.#before === 0
    if (this.#done) return
    this.#before--
    this.#isEmpty = true
  }
}
