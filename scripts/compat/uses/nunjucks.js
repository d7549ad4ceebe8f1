import nunjucks from 'nunjucks'

const env = new nunjucks.Environment(null, { autoescape: true })
env.addFilter('loud', text => `${text}!`)
export const input = {
  items: [
    { id: 'a', score: 2 },
    { id: '<b>', score: 1 },
  ],
}
export const use = value =>
  env.renderString(
    '{% set n = 1 %}{% for i in items | sort(false, false, "score") %}{{ loop.index + n }}:{{ i.id | loud }} {% else %}none{% endfor %}{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(items.length) }}',
    value,
  )
