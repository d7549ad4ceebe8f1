/** What an expression of PromQL reads: metrics, and the labels and values that it expects of them. Pure. */
import type { SyntaxNode } from '@lezer/common'
import { parser } from '@prometheus-io/lezer-promql'

export interface Matcher {
  readonly label: string
  readonly operator: '=' | '!=' | '=~' | '!~'
  readonly value: string
}

/** One selection of series. */
export interface Selection {
  readonly metric: string
  readonly matchers: readonly Matcher[]
  /** Labels that its series must have: those that are matched, and those that whatever surrounds it groups by, joins on or shows. */
  readonly labels: readonly string[]
}

/**
 * The selections of an expression, in their order.
 * @param shown labels that the series of its result must have, since somebody names them in a text
 * @throws SyntaxError for what is no PromQL, for a label that is used after it was aggregated away, for a quantile that is not of buckets by `le`
 */
export function selectionsOf(expression: string, shown: readonly string[] = []): Selection[] {
  const tree = parser.parse(expression)
  tree.iterate({
    enter: ({ type, from }) => {
      if (type.isError) throw new SyntaxError(`no PromQL before "${expression.slice(from)}": ${expression}`)
    },
  })
  const selections = new Reader(expression).read(tree.topNode, shown)
  if (selections.length === 0) throw new SyntaxError(`it reads no metric: ${expression}`)
  return selections
}

class Reader {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  /** @param needed labels that the series of the node must have */
  read(node: SyntaxNode, needed: readonly string[]): Selection[] {
    if (node.name === 'VectorSelector') return [this.#selection(node, needed)]
    if (node.name === 'AggregateExpr') return this.#aggregation(node, needed)
    if (node.name === 'BinaryExpr') return this.#binary(node, needed)
    const isQuantile = node.getChild('FunctionIdentifier')?.getChild('HistogramQuantile') != null
    const selections = childrenOf(node).flatMap(child => this.read(child, isQuantile ? [...needed, 'le'] : needed))
    const other = isQuantile && selections.find(({ metric }) => !metric.endsWith('_bucket'))
    if (other) throw new SyntaxError(`a quantile of ${other.metric}, which is no bucket: ${this.#text}`)
    return selections
  }

  /** `by` leaves only its labels, `without` takes its labels away, and `topk` leaves all. */
  #aggregation(node: SyntaxNode, needed: readonly string[]): Selection[] {
    const modifier = node.getChild('AggregateModifier')
    const named = this.#groupingLabels(modifier)
    const operator = node.getChild('AggregateOp')
    const keepsAll = operator?.getChild('Topk') != null || operator?.getChild('Bottomk') != null
    const takes = modifier?.getChild('Without') != null
    const gone = keepsAll ? [] : needed.filter(label => named.includes(label) === takes)
    if (gone.length > 0) throw new SyntaxError(`${gone.join(', ')}: aggregated away, but used: ${this.#text}`)
    return childrenOf(node).flatMap(child => this.read(child, takes || keepsAll ? [...named, ...needed] : named))
  }

  /** With `on`, a set operator and `group_left` leave the labels of the left side, and anything else only those that are joined on. */
  #binary(node: SyntaxNode, needed: readonly string[]): Selection[] {
    const [left, right] = [node.firstChild, node.lastChild]
    const modifier = node.getChild('MatchingModifierClause')
    const joined = modifier?.getChild('On') == null ? undefined : this.#groupingLabels(modifier)
    if (left === null || right === null) return []
    if (joined === undefined) return [...this.read(left, needed), ...this.read(right, needed)]
    const keepsLeft = modifier?.getChild('GroupLeft') != null || node.getChild('And') != null || node.getChild('Unless') != null
    const gone = keepsLeft ? [] : needed.filter(label => !joined.includes(label))
    if (gone.length > 0) throw new SyntaxError(`${gone.join(', ')}: not joined on, but used: ${this.#text}`)
    return [...this.read(left, [...joined, ...(keepsLeft ? needed : [])]), ...this.read(right, joined)]
  }

  #groupingLabels(modifier: SyntaxNode | null): string[] {
    const [names] = modifier?.getChildren('GroupingLabels') ?? []
    return (names?.getChildren('LabelName') ?? []).map(name => this.#textOf(name))
  }

  #selection(node: SyntaxNode, needed: readonly string[]): Selection {
    const name = node.getChild('Identifier')
    if (name === null) throw new SyntaxError(`series without the name of a metric: ${this.#text}`)
    const matchers = childrenOf(node.getChild('LabelMatchers')).map(matcher => this.#matcher(matcher))
    return { metric: this.#textOf(name), matchers, labels: [...new Set([...matchers.map(({ label }) => label), ...needed])] }
  }

  #matcher(node: SyntaxNode): Matcher {
    const [label = '', operator = '', value = ''] = ['LabelName', 'MatchOp', 'StringLiteral'].map(part => this.#textOf(node.getChild(part)))
    if (!isOperator(operator)) throw new SyntaxError(`no matcher of a plain label: ${this.#textOf(node)}`)
    return { label, operator, value: JSON.parse(value) as string }
  }

  #textOf(node: SyntaxNode | null): string {
    return node === null ? '' : this.#text.slice(node.from, node.to)
  }
}

const isOperator = (text: string): text is Matcher['operator'] => ['=', '!=', '=~', '!~'].includes(text)

function childrenOf(node: SyntaxNode | null): SyntaxNode[] {
  const children: SyntaxNode[] = []
  for (let child = node?.firstChild ?? null; child !== null; child = child.nextSibling) children.push(child)
  return children
}
