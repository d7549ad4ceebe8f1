/** What Prometheus and Grafana are given, as far as it can be judged without a base; test/quarantine.test.ts asks a base that has had it all. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { errorTable } from '../../base/kernel/errors.ts'
import { anchorsOf } from '../anchors.ts'
import { berthDashboard, dashboardPath, dashboardText, failureCodes, shedCodes } from './dashboard.ts'
import { eventMetrics, unanswered } from './exposition.ts'
import { selectionsOf } from './promql.ts'
import { alertRules, allQueries } from './queries.ts'

const codesLike = (pattern: string) => Object.entries(errorTable).filter(([code]) => new RegExp(`^(?:${pattern})$`).test(code))

test('what alerts call a failure is what a module or the base is to blame for, and no code of a module is left out', () => {
  assert.deepEqual([...new Set(codesLike(failureCodes).map(([, { blame }]) => blame))].sort(), ['base', 'module'])
  const ofModules = Object.entries(errorTable).flatMap(([code, { blame, status }]) => (blame === 'module' && status >= 500 ? [code] : []))
  const failures = new Set(codesLike(failureCodes).map(([code]) => code))
  assert.deepEqual(
    ofModules.filter(code => !failures.has(code)),
    [],
  )
  assert.deepEqual([...new Set(codesLike(shedCodes).map(([, { blame }]) => blame))], ['load'])
  const recorded = alertRules().flatMap(({ record, expr }) => (record === undefined ? [] : [expr]))
  for (const codes of [failureCodes, shedCodes])
    assert.ok(
      recorded.some(expr => expr.includes(`code=~"${codes}"`)),
      codes,
    )
})

test('every query is PromQL, uses no label that it has aggregated away, and names only codes that there are', () => {
  const queries = allQueries()
  assert.ok(queries.length > 80, `${queries.length} queries`)
  for (const { where, selections } of queries) {
    for (const { label, value } of selections.flatMap(({ matchers }) => matchers)) {
      if (label !== 'code') continue
      for (const alternative of value.split(/\|(?![^(]*\))/)) {
        assert.ok(alternative === 'OK' || codesLike(alternative).length > 0, `${where}: there is no code ${alternative}`)
      }
    }
  }
})

test('every alert says how bad it is, what happened and what to do, and leads to a section that there is', () => {
  for (const { alert, labels, annotations } of alertRules()) {
    if (alert === undefined) continue
    assert.match(labels?.severity ?? '', /^(critical|warning)$/, alert)
    assert.ok(annotations?.summary && annotations.do, alert)
    const [page = '', anchor = ''] = annotations.runbook?.split('#') ?? []
    assert.ok(anchorsOf(readFileSync(fileURLToPath(new URL(`../../${page}`, import.meta.url)), 'utf8')).includes(anchor), alert)
  }
  const names = alertRules().map(({ alert, record }) => alert ?? record)
  assert.equal(new Set(names).size, names.length)
})

test('deploy/grafana/berth.json is the dashboard as it is made, can be imported anywhere, and gives each panel an id', () => {
  const text = readFileSync(dashboardPath, 'utf8')
  // Without the difference, which would be thousands of lines.
  assert.ok(isDeepStrictEqual(JSON.parse(text), JSON.parse(dashboardText())), 'run "npm run build:dashboard"')
  assert.doesNotMatch(text, /https?:|localhost|\d+\.\d+\.\d+\.\d+/)
  const { panels = [] } = berthDashboard()
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  for (const panel of panels)
    if (panel.type !== 'row') assert.deepEqual(Reflect.get(panel, 'datasource'), { type: 'prometheus', uid: '$datasource' })
  const uids = [...text.matchAll(/"uid": "(.*)"/g)].map(([, uid]) => uid)
  assert.deepEqual([...new Set(uids)].sort(), ['$datasource', 'berth'])
})

test('a query that a page of metrics does not answer is named, with what it misses', () => {
  const page = '# TYPE a_total counter\na_total{code="OK",cell="1"} 3\nb{cell="1",state="ready"} 1\n'
  const ask = (expression: string) => unanswered([{ where: 'here', selections: selectionsOf(expression) }], page)
  assert.deepEqual(ask('sum by (instance, cell) (rate(a_total{code=~"X"}[5m])) / on (cell) b{state="ready"}'), [])
  assert.deepEqual(ask('c'), ['here: no series c'])
  assert.deepEqual(ask('sum by (scene) (a_total)'), ['here: no series a_total has all of scene'])
  assert.deepEqual(ask('b{state=~"read|lost"}'), ['here: no series b has state=~"read|lost"'])
  assert.deepEqual(ask('b{cell!="1"}'), ['here: no series b has cell!="1"'])
})

test('metrics that no query finds at once are shown by the test that is named for each', () => {
  for (const [metric, { labels, shownBy }] of Object.entries(eventMetrics)) {
    const [, shown = ''] =
      new RegExp(`${metric}\\\\\\{(.*)\\\\\\}`).exec(readFileSync(fileURLToPath(new URL(`../../${shownBy}`, import.meta.url)), 'utf8')) ??
      []
    for (const label of labels) assert.ok(shown.includes(`${label}=`), `${metric} with ${label} in ${shownBy}`)
  }
})
