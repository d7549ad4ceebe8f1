import 'reflect-metadata'
import { Expose, instanceToPlain, plainToInstance, Transform, Type } from 'class-transformer'

/** Decorators as TypeScript had them before the standard, and the metadata that goes with them. */
class Price {
  @Expose() amount = 0
  @Expose({ name: 'ccy' }) currency = ''
}
class Item {
  @Expose() id = ''
  @Type(() => Price) @Expose() price = new Price()
  @Transform(({ value }) => String(value).toUpperCase()) @Expose() tag = ''
  @Type(() => Date) @Expose() at = new Date(0)
}
export const input = { row: { id: 'a', price: { amount: 3, ccy: 'EUR' }, tag: 'x', at: '2026-01-01T00:00:00Z', more: 1 } }
export const use = ({ row }: typeof input) => {
  const item = plainToInstance(Item, row, { excludeExtraneousValues: true })
  return { is: item instanceof Item, price: item.price instanceof Price, year: item.at.getUTCFullYear(), plain: instanceToPlain(item) }
}
