import assert from 'node:assert/strict'
import { test } from 'node:test'
import { problemPage, wantsPage } from './page.ts'

test('a browser is shown a page, and what asks for JSON or for anything gets JSON', () => {
  assert.equal(wantsPage('text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'), true)
  for (const accept of [undefined, '', '*/*', 'application/json', 'application/json, text/html;q=0.5', 'application/problem+json'])
    assert.equal(wantsPage(accept), false, String(accept))
})

test('what a caller or a module has written becomes text of a page, and never markup', () => {
  const page = problemPage({
    ...{ title: 'No <i>', status: 404, code: 'SCENE_NOT_FOUND', fix: '"&\'' },
    ...{ detail: 'Cannot find <script>alert(1)</script>', requestId: '<b>' },
  })
  for (const markup of ['<i>', '<script', '<b>']) assert.ok(!page.includes(markup), markup)
  assert.match(page, /Cannot find &lt;script&gt;alert\(1\)&lt;\/script&gt;/)
  assert.match(page, /&quot;&amp;&#39;/)
})
