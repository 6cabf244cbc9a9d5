// node-redis through the gateway: node_redis.js MODULE PORT DIRECTORY USER REDIS_USER RESP
'use strict';
const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const [, , name, port, directory, user, redisUser, resp] = process.argv;
const { createClient, WatchError } = require(name);

// As node-redis' documentation connects over TLS with a client certificate.
function options(more) {
  const options = {
    socket: {
      host: 'localhost',
      port: Number(port),
      tls: true,
      key: readFileSync(`${directory}/${user}.key`),
      cert: readFileSync(`${directory}/${user}.crt`),
      ca: [readFileSync(`${directory}/ca.crt`)],
      reconnectStrategy: false,
    },
    ...more,
  };
  if (resp !== 'default') options.RESP = Number(resp);
  return options;
}

async function connect(more) {
  const client = createClient(options(more));
  client.on('error', (error) => { throw error; });
  await client.connect();
  return client;
}

async function main() {
  const r = await connect();
  const key = (part) => `node:${name}:${resp}:${part}`;

  assert.equal(await r.aclWhoAmI(), redisUser);
  assert.equal(await r.set(key('k'), 'v'), 'OK');
  assert.equal(await r.get(key('k')), 'v');
  assert.equal(await r.get(key('none')), null);
  assert.equal(await r.hSet(key('h'), { a: '1', b: '2' }), 2);
  assert.deepEqual({ ...await r.hGetAll(key('h')) }, { a: '1', b: '2' });
  await r.zAdd(key('z'), { score: 1.5, value: 'm' });
  assert.equal(await r.zScore(key('z'), 'm'), 1.5);
  await assert.rejects(r.lPush(key('k'), 'x'), /WRONGTYPE/);
  await assert.rejects(r.sendCommand(['DEBUG', 'SLEEP', '0']), /no permissions to run the 'debug' command/);
  const big = 'x'.repeat(3 << 20);
  await r.set(key('big'), big);
  assert.equal(await r.get(key('big')) === big, true);

  // Everything in one tick is one pipeline.
  const numbers = Array.from({ length: 500 }, (_, n) => String(n));
  assert.deepEqual(await Promise.all(numbers.map((n) => r.echo(n))), numbers);

  assert.deepEqual(await r.multi().incr(key('n')).incr(key('n')).get(key('n')).exec(), [1, 2, '2']);

  // Optimistic locking: a conflict, then success.
  const watcher = await connect();
  await watcher.watch(key('n'));
  await r.set(key('n'), '10');
  await assert.rejects(watcher.multi().set(key('n'), '3').exec(), WatchError);
  await watcher.watch(key('n'));
  assert.deepEqual(await watcher.multi().incr(key('n')).exec(), [11]);
  await watcher.close();

  // Publish and subscribe, on a connection of its own.
  const subscriber = r.duplicate();
  subscriber.on('error', (error) => { throw error; });
  await subscriber.connect();
  let received = [];
  const two = new Promise((resolve) => {
    const take = (message) => { received.push(message); if (received.length === 2) resolve(); };
    subscriber.subscribe(key('news'), take).then(() => subscriber.pSubscribe(key('p.*'), take)).then(async () => {
      assert.equal(await r.publish(key('news'), 'hello'), 1);
      assert.equal(await r.publish(key('p.a'), 'world'), 1);
    });
  });
  await two;
  assert.deepEqual(received, ['hello', 'world']);
  await subscriber.unsubscribe(key('news'));
  await subscriber.pUnsubscribe(key('p.*'));
  await subscriber.close();

  // Waiting.
  const blocked = await connect();
  const popped = blocked.blPop(key('q'), 10);
  setTimeout(() => r.rPush(key('q'), 'item'), 100);
  assert.equal((await popped).element, 'item');
  assert.equal(await blocked.blPop(key('q'), 0.1), null);
  await blocked.close();

  // Scripts.
  await r.scriptFlush();
  const digest = await r.scriptLoad('return ARGV[1]');
  assert.equal(await r.evalSha(digest, { arguments: ['a'] }), 'a');
  await r.scriptFlush();
  await assert.rejects(r.evalSha(digest, { arguments: ['a'] }), /NOSCRIPT/);
  assert.equal(await r.eval('return ARGV[1]', { arguments: ['b'] }), 'b');

  // Another database and a name.
  const other = await connect({ database: 3, name: 'worker' });
  assert.equal(await other.get(key('k')), null);
  assert.equal(await other.clientGetName(), 'worker');
  assert.match(String(await other.sendCommand(['CLIENT', 'INFO'])), /db=3/);
  assert.equal(await r.get(key('k')), 'v');
  await other.close();

  // A password that an application still carries.
  const own = await connect({ username: redisUser, password: 'whatever it was' });
  assert.equal(await own.aclWhoAmI(), redisUser);
  await own.close();
  const wrong = createClient(options({ username: 'somebody', password: 'else' }));
  wrong.on('error', () => {});
  await assert.rejects(wrong.connect(), /WRONGPASS/);

  await r.close();
  console.log('ok');
}

main().catch((error) => { console.error(error); process.exit(1); });
