import moment from 'moment'
import 'moment/locale/de.js'
export const input = { at: '2026-03-29T00:30:00Z' }
export const use = ({ at }) => {
  const time = moment.utc(at)
  return [
    time.format(),
    time.clone().add(1, 'month').locale('de').format('LLLL'),
    time.locale('en').from(moment.utc(at).add(3, 'hours')),
    moment.duration(3661, 's').humanize(),
    time.isoWeek(),
    moment.utc('31/12/2025', 'DD/MM/YYYY', true).toISOString(),
    moment.locales().includes('de'),
  ]
}
