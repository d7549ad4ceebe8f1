/** Server-sent events of a response. */
import { createParser, type EventSourceMessage } from 'eventsource-parser'

/** The events of a response. Ends when the response does, and throws when the connection breaks. */
export async function* readEvents(response: Response): AsyncGenerator<EventSourceMessage> {
  const events: EventSourceMessage[] = []
  const parser = createParser({ onEvent: event => events.push(event) })
  if (response.body === null) return
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    parser.feed(text)
    yield* events.splice(0)
  }
}
