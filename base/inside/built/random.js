// Made by "npm run build:inside". Not to be changed by hand.
'use strict';((...given) => {
// base/inside/lazy/tools.ts
var [tools] = given;
var domException = (message, name) => new (tools.use("DOMException"))(message, name);

// base/inside/lazy/random.ts
var BLOCKS = 16;
var KEY_BYTES = 32;
var QUOTA_BYTES = 65536;
var { cryptoSeed } = tools;
var start = new Uint32Array(16);
start.set([1634760805, 857760878, 2036477234, 1797285236]);
var key = start.subarray(4, 12);
var words = new Uint32Array(16);
var pool = new Uint32Array(16 * BLOCKS);
var bytes = new Uint8Array(pool.buffer);
var handedOut = bytes.length;
var keyedFor = 0;
function quarter(a, b, c, d) {
  let wa = words[a];
  let wb = words[b];
  let wc = words[c];
  let wd = words[d];
  wa = wa + wb | 0;
  wd = turn(wd ^ wa, 16);
  wc = wc + wd | 0;
  wb = turn(wb ^ wc, 12);
  wa = wa + wb | 0;
  wd = turn(wd ^ wa, 8);
  wc = wc + wd | 0;
  wb = turn(wb ^ wc, 7);
  words[a] = wa;
  words[b] = wb;
  words[c] = wc;
  words[d] = wd;
}
var turn = (word, by) => word << by | word >>> 32 - by;
function block(counter) {
  start[12] = counter;
  words.set(start);
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) quarter(i, i + 4, i + 8, i + 12);
    for (let i = 0; i < 4; i++) quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
  }
  for (let i = 0; i < 16; i++) pool[16 * counter + i] = words[i] + start[i];
}
function refill() {
  for (let counter = 0; counter < BLOCKS; counter++) block(counter);
  key.set(pool.subarray(0, 8));
  pool.fill(0, 0, 8);
  handedOut = KEY_BYTES;
}
function keyAnew() {
  const { words: words2, seedings } = cryptoSeed;
  key.set(words2);
  key.set(words2, words2.length);
  keyedFor = seedings;
  bytes.fill(0);
  handedOut = bytes.length;
}
function fill(target) {
  if (keyedFor !== cryptoSeed.seedings) keyAnew();
  for (let at = 0; at < target.length; ) {
    if (handedOut === bytes.length) refill();
    const end = Math.min(bytes.length, handedOut + target.length - at);
    target.set(bytes.subarray(handedOut, end), at);
    bytes.fill(0, handedOut, end);
    at += end - handedOut;
    handedOut = end;
  }
}
var integers = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array, BigUint64Array];
var crypto = {
  getRandomValues(array) {
    if (!integers.some((type) => array instanceof type)) {
      throw domException("getRandomValues takes an array of integers", "TypeMismatchError");
    }
    if (array.byteLength > QUOTA_BYTES) throw domException(`getRandomValues fills at most ${QUOTA_BYTES} bytes`, "QuotaExceededError");
    fill(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return array;
  },
  randomUUID() {
    const id = new Uint8Array(16);
    fill(id);
    id[6] = id[6] & 15 | 64;
    id[8] = id[8] & 63 | 128;
    const hex = Array.from(id, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  }
};
var random_default = { crypto };
return random_default;
})
//# sourceURL=berth:///random.js
