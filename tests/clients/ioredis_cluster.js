// ioredis before a cluster, as a client of one server and as one that knows clusters:
// ioredis_cluster.js MODULE PORT DIRECTORY USER
'use strict';
const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const [, , name, port, directory, user] = process.argv;
const library = require(name);
const Redis = library.Redis ?? library;
const { Cluster } = library;
const tls = {
  key: readFileSync(`${directory}/${user}.key`),
  cert: readFileSync(`${directory}/${user}.crt`),
  ca: [readFileSync(`${directory}/ca.crt`)],
};

async function use(r, who) {
  const keys = Array.from({ length: 200 }, (_, n) => `${name}:${who}:${n}`);
  const set = await Promise.all(keys.map((key, n) => r.set(key, n)));
  assert.ok(set.every((reply) => reply === 'OK'));
  const values = await Promise.all(keys.map((key) => r.incr(key)));
  assert.deepEqual(values, keys.map((_, n) => n + 1));
  for (const key of keys.slice(0, 20)) {
    assert.deepEqual(await r.multi().get(key).incr(key).exec(), [[null, values[keys.indexOf(key)].toString()], [null, values[keys.indexOf(key)] + 1]]);
    await r.rpush(`list:${key}`, 'x');
    assert.deepEqual(await r.blpop(`list:${key}`, 5), [`list:${key}`, 'x']);
  }
  await Promise.all(keys.map((key) => r.del(key)));
  assert.equal(await r.get(keys[0]), null);
}

(async () => {
  const plain = new Redis({ host: 'localhost', port: Number(port), tls });
  await use(plain, 'plain');
  assert.equal(await plain.mset('a', 1, 'b', 2, 'c', 3), 'OK');
  assert.deepEqual(await plain.mget('c', 'b', 'a'), ['3', '2', '1']);
  assert.equal(await plain.del('a', 'b', 'c'), 3);
  const aware = new Cluster([{ host: 'localhost', port: Number(port) }], { redisOptions: { tls } });
  await use(aware, 'aware');
  assert.equal(aware.nodes('master').length, 1);
  plain.disconnect();
  aware.disconnect();
  console.log('ok');
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
