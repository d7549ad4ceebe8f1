import { firstValueFrom, from, interval, lastValueFrom, merge, of, zip } from 'rxjs'
import { bufferCount, debounceTime, map, mergeMap, reduce, retry, scan, take, toArray } from 'rxjs/operators'
export const input = { values: [1, 2, 3, 4] }
export const use = async ({ values }) => ({
  sum: await lastValueFrom(
    from(values).pipe(
      mergeMap(v => of(v, v * 10)),
      reduce((a, b) => a + b),
    ),
  ),
  chunks: await lastValueFrom(from(values).pipe(bufferCount(3), toArray())),
  timed: await lastValueFrom(
    interval(1).pipe(
      take(3),
      scan((a, b) => a + b, 0),
      toArray(),
    ),
  ),
  zipped: await lastValueFrom(zip(from(values), of('a', 'b')).pipe(toArray())),
  late: await firstValueFrom(
    from(values).pipe(
      debounceTime(1),
      map(v => `last ${v}`),
      retry(1),
    ),
  ),
  merged: await lastValueFrom(merge(of(1), of(2)).pipe(toArray())),
})
