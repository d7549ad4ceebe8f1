import dayjs from 'dayjs'
import duration from 'dayjs/plugin/duration.js'
import relativeTime from 'dayjs/plugin/relativeTime.js'
import timezone from 'dayjs/plugin/timezone.js'
import utc from 'dayjs/plugin/utc.js'

for (const plugin of [utc, timezone, duration, relativeTime]) dayjs.extend(plugin)
export const input = { at: '2026-03-29T00:30:00Z' }
export const use = ({ at }) => [
  dayjs.utc(at).add(1, 'month').format(),
  dayjs(at).tz('Europe/Berlin').add(2, 'hour').format('YYYY-MM-DD HH:mm Z'),
  dayjs.utc(at).from(dayjs.utc(at).add(3, 'day')),
  dayjs.duration(3661, 's').format('H:mm:ss'),
  dayjs.utc(at).startOf('week').toISOString(),
]
