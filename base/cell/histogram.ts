/** Histograms that cost a request no more than a search for its bucket: prom-client checks and hashes the labels of each observation anew. */
import {
  type MetricObjectWithValues,
  type MetricValue,
  type MetricValueWithName,
  Histogram as PromHistogram,
  type Registry,
} from 'prom-client'

/** Observations under one set of label values. */
export class Tally<Label extends string> {
  readonly labels: Readonly<Record<Label, string>>
  readonly #bounds: readonly number[]
  /** How many observations are within each bound and over the one before; the last counts those over all bounds. */
  readonly #counts: number[]
  #sum = 0

  constructor(labels: Readonly<Record<Label, string>>, bounds: readonly number[]) {
    this.labels = labels
    this.#bounds = bounds
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0)
  }

  observe(value: number): void {
    const bounds = this.#bounds
    let at = 0
    while (at < bounds.length && value > (bounds[at] as number)) at++
    this.#counts[at] = (this.#counts[at] as number) + 1
    this.#sum += value
  }

  /** As prom-client writes them: how many observations are within each bound, then their sum and number. */
  values(name: string): MetricValueWithName<string>[] {
    const { labels } = this
    let count = 0
    const buckets = this.#counts.map((added, at) => {
      count += added
      return { labels: { le: this.#bounds[at] ?? '+Inf', ...labels }, value: count, metricName: `${name}_bucket` }
    })
    return [
      ...buckets,
      { labels: { ...labels }, value: this.#sum, metricName: `${name}_sum` },
      { labels: { ...labels }, value: count, metricName: `${name}_count` },
    ]
  }
}

export interface HistogramSettings<Label extends string> {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly Label[]
  /** Upper bounds of the buckets, the lowest first. */
  readonly buckets: readonly number[]
  readonly registers: Registry[]
}

/** A histogram of which each set of label values is asked for once and kept. */
export class Histogram<Label extends string> extends PromHistogram<Label> {
  readonly #name: string
  readonly #bounds: readonly number[]
  readonly #tallies = new Set<Tally<Label>>()

  constructor({ name, help, labelNames, buckets, registers }: HistogramSettings<Label>) {
    super({ name, help, labelNames: [...labelNames], buckets: [...buckets], registers })
    this.#name = name
    this.#bounds = buckets
  }

  /** Begins a series. There must be none with these label values. */
  begin(labels: Readonly<Record<Label, string>>): Tally<Label> {
    const tally = new Tally(labels, this.#bounds)
    this.#tallies.add(tally)
    return tally
  }

  end(tally: Tally<Label>): void {
    this.#tallies.delete(tally)
  }

  override async get(): Promise<MetricObjectWithValues<MetricValue<Label>>> {
    const values = [...this.#tallies].flatMap(tally => tally.values(this.#name))
    return { ...(await super.get()), values: values as MetricValue<Label>[] }
  }
}
