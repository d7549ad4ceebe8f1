import { CronExpressionParser } from 'cron-parser'
export const input = { cron: '*/15 2-4 * * 1-5', from: '2026-03-27T23:00:00Z' }
export const use = ({ cron, from }) => {
  const times = CronExpressionParser.parse(cron, { currentDate: new Date(from), tz: 'Europe/Berlin' })
  return { next: times.take(3).map(t => t.toISOString()), text: times.stringify(), previous: times.prev().toISOString() }
}
