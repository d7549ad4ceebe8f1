// Stands for @types/node when the types of a module are checked: many packages refer to it, and a slot has no globals of Node.js.
export {}
