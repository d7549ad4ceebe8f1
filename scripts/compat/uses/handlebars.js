import Handlebars from 'handlebars'

Handlebars.registerHelper('loud', text => new Handlebars.SafeString(`${String(text).toUpperCase()}!`))
Handlebars.registerPartial('row', '<{{id}}>')
export const input = { items: [{ id: 'a', on: true }, { id: '<b>' }], title: 'list' }
export const use = value =>
  Handlebars.compile('{{loud title}}{{#each items}} {{@index}}:{{id}}{{#if on}}+{{else}}-{{/if}}{{> row}}{{/each}}')(value)
