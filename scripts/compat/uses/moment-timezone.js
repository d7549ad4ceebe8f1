import moment from 'moment-timezone'
export const input = { at: '2026-03-29T00:30:00Z' }
export const use = ({ at }) =>
  ['Europe/Berlin', 'Asia/Kolkata', 'America/St_Johns'].map(zone => moment.tz(at, zone).add(1, 'day').format('YYYY-MM-DD HH:mm z Z'))
