import { __awaiter, __decorate, __extends, __generator, __rest, __spreadArray } from 'tslib'

function Base() {
  this.kind = 'base'
}
function Child() {
  return Base.call(this) || this
}
__extends(Child, Base)
export const input = { a: 1, b: 2, c: 3 }
/** What TypeScript makes of classes, generators and async functions for ES5. */
export const use = async value => {
  const child = new Child()
  const late = await __awaiter(undefined, undefined, undefined, function () {
    return __generator(this, state => (state.label === 0 ? [4, Promise.resolve(5)] : [2, state.sent() + 1]))
  })
  const decorated = {
    f() {
      return 1
    },
  }
  const twice = (_, __, descriptor) => ({ ...descriptor, value: () => descriptor.value() * 2 })
  __decorate([twice], decorated, 'f', null)
  return [child.kind, child instanceof Base, late, __rest(value, ['a']), __spreadArray([0], [1, 2], true), decorated.f()]
}
