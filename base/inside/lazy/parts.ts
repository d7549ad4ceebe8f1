/** The lazy parts of the globals as scripts: the value of each is a function that takes `PartTools` and returns what it defines. */
import type { LazyPart } from '../globals.ts'
import { clonePart } from './clone.ts'
import { eventsPart } from './events.ts'
import { fetchPart } from './fetch.ts'
import { randomPart } from './random.ts'
import { textPart } from './text.ts'
import { urlText } from './url.ts'

const script = (part: LazyPart, text: string) => `'use strict';(${text})\n//# sourceURL=berth:///${part}.js`

export const lazyParts: Readonly<Record<LazyPart, string>> = {
  clone: script('clone', clonePart.toString()),
  events: script('events', eventsPart.toString()),
  fetch: script('fetch', fetchPart.toString()),
  random: script('random', randomPart.toString()),
  text: script('text', textPart.toString()),
  url: script('url', urlText),
}
