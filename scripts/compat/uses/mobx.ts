import { computed, observable, reaction, runInAction } from 'mobx'

interface Row {
  readonly price: number
  readonly n: number
}

function logged(method: (n: number) => number, context: ClassMethodDecoratorContext): (n: number) => number {
  return n => method(n) + String(context.name).length
}

/** Decorators of the standard, and accessors. */
class Basket {
  @observable accessor rows: Row[] = []
  @observable accessor discount = 0
  @computed get total(): number {
    return this.rows.reduce((sum, { price, n }) => sum + price * n, 0) * (1 - this.discount)
  }
  @logged static twice(n: number): number {
    return n * 2
  }
}
export const input = {
  rows: [
    { price: 2, n: 3 },
    { price: 5, n: 1 },
  ],
}
export const use = ({ rows }: { rows: Row[] }) => {
  const basket = new Basket()
  const totals: number[] = []
  const stop = reaction(
    () => basket.total,
    total => totals.push(total),
  )
  runInAction(() => {
    basket.rows = rows
  })
  runInAction(() => {
    basket.discount = 0.5
  })
  stop()
  return { totals, total: basket.total, twice: Basket.twice(4) }
}
