// ioredis through the gateway: ioredis.js MODULE PORT DIRECTORY USER REDIS_USER
'use strict';
const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const [, , name, port, directory, user, redisUser] = process.argv;
const { Redis } = require(name);

// As ioredis' README connects over TLS: the options of tls.connect().
function connect(more) {
  const client = new Redis({
    host: 'localhost',
    port: Number(port),
    tls: {
      ca: readFileSync(`${directory}/ca.crt`),
      cert: readFileSync(`${directory}/${user}.crt`),
      key: readFileSync(`${directory}/${user}.key`),
    },
    retryStrategy: null,
    ...more,
  });
  client.on('error', (error) => { throw error; });
  return client;
}

async function main() {
  const r = connect();
  const key = (part) => `io:${name}:${part}`;

  assert.equal(await r.acl('WHOAMI'), redisUser);
  assert.equal(await r.set(key('k'), 'v'), 'OK');
  assert.equal(await r.get(key('k')), 'v');
  assert.equal(await r.hset(key('h'), { a: '1', b: '2' }), 2);
  assert.deepEqual({ ...await r.hgetall(key('h')) }, { a: '1', b: '2' });
  await assert.rejects(r.lpush(key('k'), 'x'), /WRONGTYPE/);
  await assert.rejects(r.call('DEBUG', 'SLEEP', '0'), /no permissions to run the 'debug' command/);
  const big = 'x'.repeat(3 << 20);
  await r.set(key('big'), big);
  assert.equal(await r.get(key('big')) === big, true);

  const pipeline = r.pipeline();
  for (let n = 0; n < 500; n++) pipeline.echo(String(n));
  assert.deepEqual((await pipeline.exec()).map(([, n]) => Number(n)), Array.from({ length: 500 }, (_, n) => n));

  assert.deepEqual(await r.multi().incr(key('n')).incr(key('n')).get(key('n')).exec(),
    [[null, 1], [null, 2], [null, '2']]);

  // Optimistic locking: a conflict, then success.
  const watcher = connect();
  await watcher.watch(key('n'));
  await r.set(key('n'), '10');
  assert.equal(await watcher.multi().set(key('n'), '3').exec(), null);
  await watcher.watch(key('n'));
  assert.deepEqual(await watcher.multi().incr(key('n')).exec(), [[null, 11]]);
  await watcher.quit();

  // Publish and subscribe, on a connection of its own.
  const subscriber = connect();
  const messages = [];
  const both = new Promise((resolve) => {
    const take = (text) => { messages.push(text); if (messages.length === 2) resolve(); };
    subscriber.on('message', (_, text) => take(text));
    subscriber.on('pmessage', (_pattern, _channel, text) => take(text));
  });
  assert.equal(await subscriber.subscribe(key('news')), 1);
  assert.equal(await subscriber.psubscribe(key('p.*')), 2);
  assert.equal(await r.publish(key('news'), 'hello'), 1);
  assert.equal(await r.publish(key('p.a'), 'world'), 1);
  await both;
  assert.deepEqual(messages, ['hello', 'world']);
  await subscriber.unsubscribe(key('news'));
  await subscriber.punsubscribe(key('p.*'));
  assert.equal(await subscriber.quit(), 'OK');

  // Waiting.
  const blocked = connect();
  const popped = blocked.blpop(key('q'), 10);
  setTimeout(() => r.rpush(key('q'), 'item'), 100);
  assert.deepEqual(await popped, [key('q'), 'item']);
  assert.equal(await blocked.blpop(key('q'), 0.1), null);
  await blocked.quit();

  // Scripts: EVALSHA, NOSCRIPT, EVAL.
  await r.script('FLUSH');
  r.defineCommand('both', { numberOfKeys: 1, lua: 'return {KEYS[1], ARGV[1]}' });
  assert.deepEqual(await r.both('a', 'b'), ['a', 'b']);
  assert.deepEqual(await r.both('a', 'c'), ['a', 'c']);

  // Another database and a name.
  const other = connect({ db: 3, connectionName: 'worker' });
  assert.equal(await other.get(key('k')), null);
  assert.equal(await other.client('GETNAME'), 'worker');
  assert.match(String(await other.client('INFO')), /db=3/);
  assert.equal(await r.get(key('k')), 'v');
  await other.quit();

  // A password that an application still carries.
  const own = connect({ username: redisUser, password: 'whatever it was' });
  assert.equal(await own.acl('WHOAMI'), redisUser);
  await own.quit();

  assert.equal(await r.quit(), 'OK');
  console.log('ok');
}

main().catch((error) => { console.error(error); process.exit(1); });
