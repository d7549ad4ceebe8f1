/** Messages to the code that is for them: by tables with a row for every type, so that the compiler finds the type that nobody handles. */

interface Typed {
  readonly type: string
}

/** What to do with each type of a union of messages. `Rest` is what else a handler is given. */
export type Handlers<Message extends Typed, Rest extends readonly unknown[] = []> = {
  readonly [Type in Message['type']]: (message: Extract<Message, { readonly type: Type }>, ...rest: Rest) => void
}

/**
 * Gives each message to the handler of its type. A message of a type without a handler, which another version of the program may have sent, is
 * ignored and never given to the handler of another.
 * @param receiver says whose messages these are, for the report
 * @param report is given one sentence for each unknown type, when the first message of it comes
 */
export function dispatcher<Message extends Typed, Rest extends readonly unknown[] = []>(
  receiver: string,
  handlers: Handlers<Message, Rest>,
  report: (sentence: string) => void,
): (message: Message, ...rest: Rest) => void {
  const rows = new Map<string, (message: never, ...rest: Rest) => void>(Object.entries(handlers))
  const reported = new Set<string>()
  return (message, ...rest) => {
    const handle = rows.get(message.type) as ((message: Message, ...rest: Rest) => void) | undefined
    if (handle !== undefined) handle(message, ...rest)
    else if (!reported.has(message.type)) {
      reported.add(message.type)
      report(`${receiver} ignores messages of the unknown type "${message.type}"`)
    }
  }
}
