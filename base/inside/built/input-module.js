// Made by "npm run build:inside". Not to be changed by hand.
'use strict';((...given) => {
// base/inside/input-module.ts
var { parse } = JSON;
var inputs = /* @__PURE__ */ new Map();
var input_module_default = {
  putInput: (requestId, json) => void inputs.set(requestId, json),
  module: {
    input: (_, { requestId }) => {
      const json = inputs.get(requestId) ?? "null";
      inputs.delete(requestId);
      return parse(json);
    }
  }
};
return input_module_default;
})
