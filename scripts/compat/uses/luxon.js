import { DateTime, Duration, Interval } from 'luxon'
export const input = { at: '2026-03-29T00:30:00Z' }
export const use = ({ at }) => {
  const time = DateTime.fromISO(at, { zone: 'America/New_York' })
  return [
    time.toISO(),
    time.plus({ months: 1 }).setZone('Asia/Tokyo').toFormat('fff'),
    time.setLocale('de').toLocaleString(DateTime.DATE_FULL),
    Duration.fromObject({ hours: 25 }).shiftTo('days', 'hours').toHuman(),
    Interval.after(time, { days: 2 }).splitBy({ hours: 12 }).length,
    time.weekNumber,
  ]
}
