import {
  addDays,
  differenceInHours,
  eachDayOfInterval,
  formatDistance,
  formatISO,
  intervalToDuration,
  parse,
  parseISO,
  startOfWeek,
} from 'date-fns'
import { de } from 'date-fns/locale'
export const input = { at: '2026-03-10T12:00:00Z' }
export const use = ({ at }) => {
  const time = parseISO(at)
  return [
    addDays(time, 5).toISOString(),
    differenceInHours(addDays(time, 2), time),
    startOfWeek(time).getDay(),
    formatDistance(time, addDays(time, 3), { locale: de }),
    formatISO(time),
    eachDayOfInterval({ start: time, end: addDays(time, 3) }).length,
    intervalToDuration({ start: 0, end: 1e9 }),
    parse('02/11/2014', 'MM/dd/yyyy', new Date(0)).getFullYear(),
  ]
}
