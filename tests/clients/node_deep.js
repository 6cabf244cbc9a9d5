// What programs build on node-redis and ioredis: node_deep.js MODULE PORT DIRECTORY USER
'use strict';
const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');
const [, , name, port, directory, user] = process.argv;
const library = require(name);
const key = (part) => `deep:${name}:${part}`;
const tls = {
  key: readFileSync(`${directory}/${user}.key`),
  cert: readFileSync(`${directory}/${user}.crt`),
  ca: [readFileSync(`${directory}/ca.crt`)],
};
const numbers = (count) => Array.from({ length: count }, (_, n) => n);

async function until(what, holds) {
  for (const deadline = Date.now() + 60_000; !(await holds());) {
    assert.ok(Date.now() < deadline, what);
    await sleep(10);
  }
}

// node-redis: duplicates that subscribe, transactions under contention, its own cache, a pool.
async function nodeRedis() {
  const { createClient, createClientPool, WatchError } = library;
  const options = {
    RESP: 3,
    socket: { host: 'localhost', port: Number(port), tls: true, ...tls, reconnectStrategy: false },
  };
  const trouble = [];
  const open = async (more) => {
    const client = createClient({ ...options, ...more });
    client.on('error', (error) => trouble.push(error));
    return client.connect();
  };
  const r = await open();

  const subscribers = await Promise.all(numbers(5).map(() => open()));
  const heard = subscribers.map(() => []);
  await Promise.all(subscribers.map(async (one, n) => {
    await one.subscribe([key('a'), key('b')], (message) => heard[n].push(message));
    await one.pSubscribe(key('p*'), (message) => heard[n].push(message));
    await one.sSubscribe(key('s'), (message) => heard[n].push(message));
  }));
  const channels = [key('a'), key('b'), key('p.x')];
  for (const n of numbers(150)) assert.equal(await r.publish(channels[n % 3], String(n)), 5);
  await until('a message is missing', () => heard.every((mine) => mine.length === 150));
  for (const mine of heard) assert.deepEqual(mine, numbers(150).map(String));
  assert.equal(await r.sPublish(key('s'), 'shard'), 5);
  await until('a message is missing', () => heard.every((mine) => mine[150] === 'shard'));
  // Over RESP3 a subscriber goes on with its own commands.
  assert.deepEqual(await Promise.all(subscribers.map((one, n) => one.echo(String(n)))), numbers(5).map(String));
  await Promise.all(subscribers.map((one) => one.unsubscribe([key('a'), key('b')])));
  await Promise.all(subscribers.map((one) => one.pUnsubscribe(key('p*'))));
  await Promise.all(subscribers.map((one) => one.sUnsubscribe(key('s'))));
  await Promise.all(subscribers.map((one) => one.close()));

  await r.set(key('watched'), 0);
  await Promise.all(numbers(5).map(async () => {
    const mine = await open();
    for (let done = 0; done < 15;) {
      await mine.watch(key('watched'));
      const value = Number(await mine.get(key('watched')));
      try {
        await mine.multi().set(key('watched'), value + 1).get(key('watched')).exec();
        done += 1;
      } catch (error) {
        assert.ok(error instanceof WatchError, error);
      }
    }
    await mine.close();
  }));
  assert.equal(await r.get(key('watched')), '75');

  const cached = await open({ clientSideCache: { ttl: 0, maxEntries: 100, evictPolicy: 'LRU' } });
  await r.set(key('cached'), 'old');
  for (const _ of numbers(100)) assert.equal(await cached.get(key('cached')), 'old');
  for (const n of numbers(20)) {
    await r.set(key('cached'), n);
    await until('what changed is still cached', async () => await cached.get(key('cached')) === String(n));
  }
  await cached.close();

  const pool = createClientPool(options, { minimum: 2, maximum: 5 });
  pool.on('error', (error) => trouble.push(error));
  await pool.connect();
  const popped = numbers(4).map((n) => pool.blPop(key(`q${n}`), 60));
  assert.deepEqual(await Promise.all(numbers(200).map((n) => pool.echo(String(n)))), numbers(200).map(String));
  for (const n of numbers(4)) await r.rPush(key(`q${n}`), String(n));
  assert.deepEqual((await Promise.all(popped)).map((one) => one.element), ['0', '1', '2', '3']);
  await pool.close();

  const names = Object.fromEntries(numbers(1000).map((n) => [key(`scan:${n}`), String(n)]));
  await r.mSet(names);
  const found = new Set();
  for await (const some of r.scanIterator({ MATCH: key('scan:*'), COUNT: 300 })) for (const one of some) found.add(one);
  assert.deepEqual(found, new Set(Object.keys(names)));
  await r.close();
  assert.deepEqual(trouble, []);
}

// ioredis: pipelines of its own making, transactions under contention, subscribers, streams of a scan.
async function ioredis() {
  const trouble = [];
  const open = (more) => {
    const client = new library.Redis({ host: 'localhost', port: Number(port), tls, retryStrategy: null, ...more });
    client.on('error', (error) => trouble.push(error));
    return client;
  };
  const r = open();
  const auto = open({ enableAutoPipelining: true });
  await until('it is not ready', () => auto.status === 'ready');
  const values = await Promise.all(numbers(1000).flatMap((n) => [auto.set(key(`auto${n}`), n), auto.get(key(`auto${n}`))]));
  assert.deepEqual(values, numbers(1000).flatMap((n) => ['OK', String(n)]));
  assert.ok(auto.autoPipelineQueueSize === 0);
  await assert.rejects(Promise.all([auto.lpush(key('auto0'), 'x'), auto.get(key('auto0'))]), /WRONGTYPE/);
  assert.equal(await auto.get(key('auto0')), '0');
  await auto.quit();

  const mixed = await r.pipeline().set(key('k'), 'v').lpush(key('k'), 'x').get(key('k')).exec();
  assert.deepEqual([mixed[0], mixed[2]], [[null, 'OK'], [null, 'v']]);
  assert.match(String(mixed[1][0]), /WRONGTYPE/);
  const broken = r.multi().set(key('k'), 'w').call('GET').exec();
  await assert.rejects(broken, /EXECABORT/);
  assert.equal(await r.get(key('k')), 'v');
  // Queued one at a time rather than in one write.
  await r.multi({ pipeline: false });
  assert.deepEqual([await r.incr(key('n')), await r.incr(key('n'))], ['QUEUED', 'QUEUED']);
  assert.deepEqual(await r.exec(), [[null, 1], [null, 2]]);

  const subscribers = numbers(5).map(() => open());
  const heard = subscribers.map(() => []);
  await Promise.all(subscribers.map(async (one, n) => {
    one.on('message', (_, message) => heard[n].push(message));
    one.on('pmessage', (_, __, message) => heard[n].push(message));
    await one.subscribe(key('a'), key('b'));
    await one.psubscribe(key('p*'));
  }));
  const channels = [key('a'), key('b'), key('p.x')];
  for (const n of numbers(150)) assert.equal(await r.publish(channels[n % 3], n), 5);
  await until('a message is missing', () => heard.every((mine) => mine.length === 150));
  for (const mine of heard) assert.deepEqual(mine, numbers(150).map(String));
  for (const one of subscribers) {
    await one.unsubscribe(key('a'), key('b'));
    await one.punsubscribe(key('p*'));
    assert.equal(await one.echo('as before'), 'as before');
    await one.quit();
  }

  await r.set(key('watched'), 0);
  await Promise.all(numbers(5).map(async () => {
    const mine = open();
    for (let done = 0; done < 15;) {
      await mine.watch(key('watched'));
      const value = Number(await mine.get(key('watched')));
      if (await mine.multi().set(key('watched'), value + 1).exec()) done += 1;
    }
    await mine.quit();
  }));
  assert.equal(await r.get(key('watched')), '75');

  const blocked = numbers(10).map(() => open());
  const popped = blocked.map((one, n) => one.blpop(key(`q${n}`), 60));
  for (const n of numbers(10)) await r.rpush(key(`q${n}`), n);
  assert.deepEqual(await Promise.all(popped), numbers(10).map((n) => [key(`q${n}`), String(n)]));
  for (const one of blocked) await one.quit();

  await r.mset(Object.fromEntries(numbers(1000).map((n) => [key(`scan:${n}`), n])));
  const found = new Set();
  for await (const some of r.scanStream({ match: key('scan:*'), count: 300 })) for (const one of some) found.add(one);
  assert.equal(found.size, 1000);

  // A connection that breaks is replaced, and what was asked for meanwhile is answered.
  const steady = open({ retryStrategy: () => 50 });
  assert.equal(await steady.set(key('steady'), 'v'), 'OK');
  steady.stream.destroy();
  assert.equal(await steady.get(key('steady')), 'v');
  await steady.quit();
  await r.quit();
  assert.deepEqual(trouble, []);
}

(name.startsWith('io') ? ioredis : nodeRedis)()
  .then(() => console.log('ok'))
  .catch((error) => { console.error(error); process.exit(1); });
