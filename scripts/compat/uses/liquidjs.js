import { Liquid } from 'liquidjs'

const engine = new Liquid()
export const input = {
  items: [
    { id: 'a', price: 2 },
    { id: 'b', price: 1 },
  ],
  at: '2026-03-01T00:00:00Z',
}
export const use = value =>
  engine.parseAndRender(
    '{% assign sorted = items | sort: "price" %}{% for i in sorted %}{{ forloop.index }}:{{ i.id | upcase }} {% endfor %}{{ at | date: "%Y-%m-%d", 0 }} {{ "a,b" | split: "," | join: "+" }}',
    value,
  )
