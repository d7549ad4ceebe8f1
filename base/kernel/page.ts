/** Small HTML pages for a person who opens a port in a browser. They have no scripts and load nothing. */

/** Whether whoever asks is a browser that shows a page, and no program that wants JSON. */
export function wantsPage(accept: string | undefined): boolean {
  if (accept === undefined) return false
  const [html, json] = [accept.indexOf('text/html'), accept.indexOf('json')]
  return html >= 0 && (json < 0 || html < json)
}

export const pageHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
  'x-content-type-options': 'nosniff',
  vary: 'accept',
} as const

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, character => entities[character] ?? character)

const STYLE =
  'body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}td{padding:.2rem .8rem .2rem 0;vertical-align:top}'

/** @param html of the body; texts in it are escaped already */
export const page = (title: string, html: string): string =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escapeHtml(title)}</title><style>${STYLE}</style><h1>${escapeHtml(title)}</h1>${html}</html>\n`

/** Where to look, as a list. @param links what is there, by path */
export const linkList = (links: Readonly<Record<string, string>>): string =>
  `<ul>${Object.entries(links)
    .map(([path, what]) => `<li><a href="${escapeHtml(path)}">${escapeHtml(path)}</a> ${escapeHtml(what)}</li>`)
    .join('')}</ul>`

interface ShownProblem {
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly fix: string
  /** Where more is said of the code. */
  readonly help?: unknown
  readonly requestId?: unknown
}

/** A problem document as a page, with a way on. */
export function problemPage({ title, status, code, detail, fix, help, requestId }: ShownProblem): string {
  const more = typeof help === 'string' ? `<a href="${escapeHtml(help)}">${code}</a>` : code
  const request = typeof requestId === 'string' ? ` · request ${escapeHtml(requestId)}` : ''
  return page(
    title,
    `<p>${escapeHtml(detail)}</p><p>What to do: ${escapeHtml(fix)}</p><p>${status} · ${more}${request} · <a href="/">what is here</a></p>`,
  )
}
