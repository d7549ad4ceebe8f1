import Mustache from 'mustache'
export const input = { items: [{ id: 'a', on: true }, { id: '<b>' }], title: 'list' }
export const use = value =>
  Mustache.render('{{title}}{{#items}} {{id}}{{{id}}}{{#on}}+{{/on}}{{^on}}-{{/on}}{{> row}}{{/items}}', value, { row: '[{{id}}]' })
