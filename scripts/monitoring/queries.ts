/** Every query of deploy/: of the alert rules and of the dashboard, with the labels that the texts beside them show. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { berthDashboard } from './dashboard.ts'
import { type Selection, selectionsOf } from './promql.ts'

export const alertsPath = fileURLToPath(new URL('../../deploy/prometheus/alerts.yml', import.meta.url))

export interface Rule {
  readonly alert?: string
  readonly record?: string
  readonly expr: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

/** The rules of deploy/prometheus/alerts.yml. */
export function alertRules(): Rule[] {
  const { groups } = parse(readFileSync(alertsPath, 'utf8')) as { readonly groups: readonly { readonly rules: readonly Rule[] }[] }
  return groups.flatMap(({ rules }) => rules)
}

export interface Query {
  /** The alert or the panel that asks. */
  readonly where: string
  /** What it reads from a base; series that rules record are replaced by what the rules read. */
  readonly selections: readonly Selection[]
}

/** @throws SyntaxError as `selectionsOf`, with the alert or the panel */
export function allQueries(): Query[] {
  const rules = alertRules()
  const recorded = new Map(rules.flatMap(({ record, expr }) => (record === undefined ? [] : [[record, expr]])))
  const query = (where: string, expression: string, shown: readonly string[]): Query => {
    const resolve = (selection: Selection): Selection[] => {
      const expr = recorded.get(selection.metric)
      return expr === undefined ? [selection] : selectionsOf(expr, selection.labels)
    }
    try {
      return { where, selections: selectionsOf(expression, shown).flatMap(resolve) }
    } catch (error) {
      throw new SyntaxError(`${where}: ${error instanceof Error ? error.message : error}`)
    }
  }
  const ofRules = rules.map(({ alert, record, expr, annotations = {} }) => {
    const shown = Object.values(annotations).flatMap(text => [...text.matchAll(/\$labels\.(\w+)/g)].map(([, label = '']) => label))
    return query(alert ?? record ?? '', expr, shown)
  })
  return [...ofRules, ...dashboardQueries().map(({ where, expr, shown }) => query(where, expr, shown))]
}

interface ShownQuery {
  readonly where: string
  readonly expr: string
  readonly shown: readonly string[]
}

/** The queries of panels and of variables. The interval that Grafana puts in is replaced by one. */
export function dashboardQueries(): ShownQuery[] {
  const { panels = [], templating } = berthDashboard()
  const ofPanels = panels.flatMap(panel => {
    if (!('targets' in panel)) return []
    return (panel.targets ?? []).flatMap(target => {
      if (!('expr' in target)) return []
      const { expr, legendFormat = '' } = target as { readonly expr: string; readonly legendFormat?: string }
      const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label)
      return [{ where: `panel "${panel.title}"`, expr: expr.replaceAll('$__rate_interval', '5m'), shown }]
    })
  })
  const ofVariables = (templating?.list ?? []).flatMap(({ name, query }) => {
    const [, expr, label] = /^label_values\((.*), (\w+)\)$/.exec(String(query)) ?? []
    return expr === undefined || label === undefined ? [] : [{ where: `variable "${name}"`, expr, shown: [label] }]
  })
  return [...ofPanels, ...ofVariables]
}
