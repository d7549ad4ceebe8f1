import jmespath from 'jmespath'
export const input = {
  people: [
    { name: 'Bob', age: 30 },
    { name: 'Ann', age: 25 },
  ],
}
export const use = value => [
  jmespath.search(value, 'people[?age > `26`].name'),
  jmespath.search(value, 'sort_by(people, &age)[*].{n: name}'),
  jmespath.search(value, 'max_by(people, &age).age'),
  jmespath.search(value, 'length(people)'),
]
