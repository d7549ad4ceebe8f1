// Made by "npm run build:inside". Not to be changed by hand.
'use strict';((...given) => {
// base/inside/lazy/tools.ts
var [tools] = given;

// base/inside/lazy/fetch/values.ts
var TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
var isObject = (value) => typeof value === "object" && value !== null || typeof value === "function";

// base/inside/lazy/fetch/fetch-body.ts
var { parse } = JSON;
var FORM = "application/x-www-form-urlencoded;charset=UTF-8";
var TEXT = "text/plain;charset=UTF-8";
var encode = (text) => new (tools.use("TextEncoder"))().encode(text);
var decode = (bytes) => new (tools.use("TextDecoder"))().decode(bytes);
var textOf = (content) => typeof content === "string" ? content.replace(/^\ufeff/, "") : content === null ? "" : decode(content);
function bytesOf(content) {
  if (content === null) return new Uint8Array(0);
  return typeof content === "string" ? encode(content) : content.slice();
}
var Raw = class {
  content;
  constructor(content) {
    this.content = content;
  }
};
function contentOf(body) {
  if (body === void 0 || body === null) return { content: null };
  if (body instanceof Raw) return { content: body.content };
  if (body instanceof ArrayBuffer) return { content: new Uint8Array(body.slice(0)) };
  if (ArrayBuffer.isView(body)) return { content: new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice() };
  return { content: String(body).toWellFormed(), type: isSearchParams(body) ? FORM : TEXT };
}
var isSearchParams = (body) => isObject(body) && Object.prototype.toString.call(body) === "[object URLSearchParams]";
var contentIn;
var markUsed;
var Body = class {
  #content;
  #used = false;
  static {
    contentIn = (body) => body.#content;
    markUsed = (body) => {
      if (body.#used) throw new TypeError("The body has been read already");
      body.#used = body.#content !== null;
    };
  }
  constructor(content) {
    this.#content = content;
  }
  get bodyUsed() {
    return this.#used;
  }
  async text() {
    markUsed(this);
    return textOf(this.#content);
  }
  async json() {
    return parse(await this.text());
  }
  async bytes() {
    markUsed(this);
    return bytesOf(this.#content);
  }
  async arrayBuffer() {
    return (await this.bytes()).buffer;
  }
};
function again(body) {
  if (body.bodyUsed) throw new TypeError("Cannot clone: the body has been read already");
  return new Raw(contentIn(body));
}
function typed(headers, type) {
  if (type !== void 0 && !headers.has("content-type")) headers.append("content-type", type);
  return headers;
}

// base/inside/lazy/fetch/fetch-headers.ts
var { stringify } = JSON;
var NO_VALUE = /[\0\n\r]|[^\0-\xff]/;
function nameOf(name) {
  const text = String(name);
  if (!TOKEN.test(text)) throw new TypeError(`Headers: ${stringify(text)} is not the name of a header`);
  return text.toLowerCase();
}
function cleaned(value) {
  const text = String(value).replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, "");
  if (NO_VALUE.test(text)) throw new TypeError("Headers: a value may hold no line end, no NUL, and no character above U+00FF");
  return text;
}
var seal;
var Headers = class {
  /** Values by lower-case name. Values of the same name are combined. */
  #values = /* @__PURE__ */ new Map();
  /** Values of `set-cookie`. They are not combined, since a comma may be part of one. */
  #cookies = [];
  #sorted;
  #sealed = false;
  static {
    seal = (headers) => {
      headers.#sealed = true;
      return headers;
    };
  }
  constructor(init) {
    if (init === void 0) return;
    if (!isObject(init)) throw new TypeError("Headers: takes a record, or a list of pairs");
    for (const [name, value] of Symbol.iterator in init ? pairsIn(init) : Object.entries(init))
      this.append(name, value);
  }
  append(name, value) {
    const [key, text] = [nameOf(name), cleaned(value)];
    this.#change();
    if (key === "set-cookie") this.#cookies.push(text);
    else {
      const before = this.#values.get(key);
      this.#values.set(key, before === void 0 ? text : `${before}, ${text}`);
    }
  }
  set(name, value) {
    const [key, text] = [nameOf(name), cleaned(value)];
    this.#change();
    if (key === "set-cookie") this.#cookies.splice(0, this.#cookies.length, text);
    else this.#values.set(key, text);
  }
  delete(name) {
    const key = nameOf(name);
    this.#change();
    if (key === "set-cookie") this.#cookies.length = 0;
    else this.#values.delete(key);
  }
  get(name) {
    const key = nameOf(name);
    if (key === "set-cookie") return this.#cookies.length > 0 ? this.#cookies.join(", ") : null;
    return this.#values.get(key) ?? null;
  }
  getSetCookie() {
    return [...this.#cookies];
  }
  has(name) {
    const key = nameOf(name);
    return key === "set-cookie" ? this.#cookies.length > 0 : this.#values.has(key);
  }
  forEach(run, self) {
    if (typeof run !== "function") throw new TypeError("Headers.forEach takes a function");
    for (const [name, value] of this) run.call(self, value, name, this);
  }
  *entries() {
    for (let i = 0, pair = this.#list()[0]; pair !== void 0; pair = this.#list()[++i]) yield [...pair];
  }
  *keys() {
    for (const [name] of this) yield name;
  }
  *values() {
    for (const [, value] of this) yield value;
  }
  [Symbol.iterator]() {
    return this.entries();
  }
  get [Symbol.toStringTag]() {
    return "Headers";
  }
  #change() {
    if (this.#sealed) throw new TypeError("Headers: those of a response that was fetched cannot be changed");
    this.#sorted = void 0;
  }
  #list() {
    this.#sorted ??= [...this.#values, ...this.#cookies.map((cookie) => ["set-cookie", cookie])].sort(
      ([a], [b]) => Number(a > b) - Number(a < b)
    );
    return this.#sorted;
  }
};
for (const { prototype } of [Headers.prototype.entries, Headers.prototype.keys, Headers.prototype.values]) Object.freeze(prototype);
function* pairsIn(list) {
  for (const item of list) {
    const pair = isObject(item) && Symbol.iterator in item ? [...item] : [];
    if (pair.length !== 2) throw new TypeError("Headers: each item of the list must be a pair of a name and a value");
    yield [pair[0], pair[1]];
  }
}

// base/inside/lazy/fetch/fetch-request.ts
var { stringify: stringify2 } = JSON;
var PARSED = /^https?:\/\/(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)*[a-z][a-z0-9]*(?:-[a-z0-9]+)*(?::(?!80\/|443\/)(?:[1-9]\d{0,3}|[1-5]\d{4}))?(?:\/(?!\.|%2e)(?:[\w~!$&'()*+,;=:@.-]|%[\da-f]{2})*)+(?:\?[\w~!$&()*+,;=:@./?%-]*)?$/i;
function urlOf(input) {
  const text = String(input);
  const origin = text.slice(0, text.indexOf("/", 8));
  if (origin === origin.toLowerCase() && PARSED.test(text)) return text;
  const { href, username, password } = new (tools.use("URL"))(text);
  if (username !== "" || password !== "") throw new TypeError(`Request: ${stringify2(text)} holds a user name or password; send a header`);
  return href;
}
function methodOf(value) {
  const method = String(value);
  const upper = method.toUpperCase();
  if (!TOKEN.test(method) || ["CONNECT", "TRACE", "TRACK"].includes(upper))
    throw new TypeError(`Request: ${stringify2(method)} is not a method that can be sent`);
  return ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"].includes(upper) ? upper : method;
}
function redirectOf(value) {
  const mode = String(value);
  if (mode === "follow" || mode === "error" || mode === "manual") return mode;
  throw new TypeError(`Request: redirect must be "follow", "error" or "manual", not ${stringify2(mode)}`);
}
function signalOf(value) {
  if (value === null || value === void 0) return void 0;
  if (value instanceof tools.use("AbortSignal")) return value;
  throw new TypeError("Request: signal must be an AbortSignal");
}
var requestSignal;
var Request = class extends Body {
  #url;
  #method;
  #headers;
  #redirect;
  #signal;
  static {
    requestSignal = (request) => request.#signal;
  }
  constructor(input, init = {}) {
    if (init !== null && !isObject(init)) throw new TypeError("Request: the options must be an object");
    const { body, headers, ...options } = init ?? {};
    const from = isRequest(input) ? input : void 0;
    const url = from?.url ?? urlOf(input);
    const method = options.method === void 0 ? from?.method ?? "GET" : methodOf(options.method);
    const given2 = contentOf(body);
    const taken = given2.content === null && from !== void 0 ? contentIn(from) : null;
    if ((given2.content ?? taken) !== null && (method === "GET" || method === "HEAD"))
      throw new TypeError(`Request: ${method} cannot have a body`);
    const all = new Headers(headers === void 0 ? from?.headers : headers);
    const redirect = options.redirect === void 0 ? from?.redirect ?? "follow" : redirectOf(options.redirect);
    const signal = options.signal === void 0 ? from && requestSignal(from) : signalOf(options.signal);
    if (taken !== null && from !== void 0) markUsed(from);
    super(given2.content ?? taken);
    this.#url = url;
    this.#method = method;
    this.#headers = typed(all, given2.type);
    this.#redirect = redirect;
    this.#signal = signal;
  }
  get url() {
    return this.#url;
  }
  get method() {
    return this.#method;
  }
  get headers() {
    return this.#headers;
  }
  get redirect() {
    return this.#redirect;
  }
  /** A request that was given no signal has one that never aborts. It is made when somebody asks for it. */
  get signal() {
    this.#signal ??= new (tools.use("AbortController"))().signal;
    return this.#signal;
  }
  clone() {
    const body = again(this);
    return newRequest(this.#url, { method: this.#method, headers: this.#headers, redirect: this.#redirect, signal: this.#signal, body });
  }
  get [Symbol.toStringTag]() {
    return "Request";
  }
};
var isRequest = (value) => value instanceof Request;
var newRequest = (url, options) => new Request(url, options);

// base/inside/lazy/fetch/response.ts
var { stringify: stringify3 } = JSON;
var REASON = /^[\t\x20-\x7e\x80-\xff]*$/;
var NULL_BODY = [101, 204, 205, 304];
var REDIRECTS = [301, 302, 303, 307, 308];
var made = { type: "default", url: "", redirected: false };
var setOrigin;
var Response = class extends Body {
  #status;
  #statusText;
  #headers;
  #origin = made;
  static {
    setOrigin = (response, origin) => {
      response.#origin = origin;
      if (origin.type !== "default") seal(response.#headers);
      return response;
    };
  }
  constructor(body, init = {}) {
    if (init !== null && !isObject(init)) throw new TypeError("Response: the options must be an object");
    const { status = 200, statusText = "", headers } = init ?? {};
    const code = Number(status) & 65535;
    if (!(code >= 200 && code <= 599)) throw new RangeError(`Response: the status must be from 200 to 599, not ${code}`);
    const reason = String(statusText);
    if (!REASON.test(reason)) throw new TypeError("Response: statusText holds a character that it may not");
    const all = new Headers(headers);
    const { content, type } = contentOf(body);
    if (content !== null && NULL_BODY.includes(code)) throw new TypeError(`Response: status ${code} cannot have a body`);
    super(content);
    this.#status = code;
    this.#statusText = reason;
    this.#headers = typed(all, type);
  }
  static error() {
    return setOrigin(newResponse(), { type: "error", url: "", redirected: false, status: 0 });
  }
  static redirect(url, status = 302) {
    const location = urlOf(url);
    const code = Number(status);
    if (!REDIRECTS.includes(code)) throw new RangeError(`Response.redirect: ${code} is not the status of a redirect`);
    const response = newResponse(null, { status: code, headers: { location } });
    seal(response.#headers);
    return response;
  }
  static json(data, init = {}) {
    const text = stringify3(data);
    if (text === void 0) throw new TypeError("Response.json: the value must be data that JSON can hold");
    const response = newResponse(text, init);
    if (new Headers(init?.headers).has("content-type")) return response;
    response.#headers.set("content-type", "application/json");
    return response;
  }
  get type() {
    return this.#origin.type;
  }
  get url() {
    return this.#origin.url;
  }
  get redirected() {
    return this.#origin.redirected;
  }
  get status() {
    return this.#origin.status ?? this.#status;
  }
  get ok() {
    return this.status >= 200 && this.status <= 299;
  }
  get statusText() {
    return this.#statusText;
  }
  get headers() {
    return this.#headers;
  }
  clone() {
    const copy = newResponse(again(this), { status: this.#status, statusText: this.#statusText, headers: this.#headers });
    return setOrigin(copy, this.#origin);
  }
  get [Symbol.toStringTag]() {
    return "Response";
  }
};
var newResponse = (body, init) => new Response(body, init);

// base/inside/lazy/fetch.ts
var { parse: parse2, stringify: stringify4 } = JSON;
function received(head, body) {
  const { url, redirected, ...init } = parse2(head);
  const content = NULL_BODY.includes(init.status) ? null : typeof body === "string" ? body : new Uint8Array(body);
  return setOrigin(new Response(new Raw(content), init), { type: "basic", url, redirected });
}
async function fetchFor(owner, input, init) {
  const request = new Request(input, init);
  const signal = requestSignal(request);
  signal?.throwIfAborted();
  const { url, method, redirect } = request;
  const content = contentIn(request);
  const { answer, abort } = tools.fetch(
    owner,
    method,
    stringify4({ url, redirect, headers: [...request.headers] }),
    content === null || typeof content === "string" ? content ?? void 0 : bytesOf(content).buffer
  );
  if (signal === void 0) return answer.then(({ head, body }) => received(head, body));
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      abort();
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    const done = () => signal.removeEventListener("abort", onAbort);
    answer.then(({ head, body }) => received(head, body)).finally(done).then(resolve, reject);
  });
}
var fetch_default = { Headers, Request, Response, fetchFor };
return fetch_default;
})
//# sourceURL=berth:///fetch.js
