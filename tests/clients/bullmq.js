// BullMQ through the gateway: bullmq.js PORT DIRECTORY USER
'use strict';
const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');
const { Queue, Worker, QueueEvents, FlowProducer } = require('bullmq');
const [, , port, directory, user] = process.argv;

const connection = {
  host: 'localhost',
  port: Number(port),
  tls: {
    key: readFileSync(`${directory}/${user}.key`),
    cert: readFileSync(`${directory}/${user}.crt`),
    ca: [readFileSync(`${directory}/ca.crt`)],
  },
  maxRetriesPerRequest: null,
};
const trouble = [];
const watched = (part) => { part.on('error', (error) => trouble.push(error)); return part; };

async function until(what, holds) {
  for (const deadline = Date.now() + 60_000; !(await holds());) {
    assert.ok(Date.now() < deadline, what);
    await sleep(20);
  }
}

async function main() {
  const queue = watched(new Queue('work', { connection }));
  const events = watched(new QueueEvents('work', { connection }));
  await events.waitUntilReady();
  const seen = { completed: new Map(), failed: new Map(), progress: [], delayed: new Set() };
  events.on('completed', ({ jobId, returnvalue }) => seen.completed.set(jobId, returnvalue));
  events.on('failed', ({ jobId, failedReason }) => seen.failed.set(jobId, failedReason));
  events.on('progress', ({ data }) => seen.progress.push(data));
  events.on('delayed', ({ jobId }) => seen.delayed.add(jobId));

  const processed = [];
  const started = Date.now();
  const work = async (job) => {
    processed.push(job.name);
    if (job.name === 'fails') throw new Error(`attempt ${job.attemptsMade + 1}`);
    if (job.name === 'progresses') { await job.updateProgress(50); await job.log('half'); }
    if (job.name === 'late') return Date.now() - started;
    if (job.name === 'parent') return Object.values(await job.getChildrenValues()).sort((a, b) => a - b);
    return job.data.n * 2;
  };
  const workers = [1, 2].map(() => watched(new Worker('work', work, { connection, concurrency: 5 })));
  await Promise.all(workers.map((worker) => worker.waitUntilReady()));

  // Many jobs: each is done once, and its result is what it returned.
  const jobs = await queue.addBulk(Array.from({ length: 200 }, (_, n) => ({ name: 'double', data: { n } })));
  const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 60_000)));
  assert.deepEqual(results, jobs.map((job) => job.data.n * 2));
  assert.equal(processed.filter((name) => name === 'double').length, 200);
  await until('an event is missing', () => jobs.every((job) => seen.completed.get(job.id) === job.data.n * 2));

  // Failures, with attempts and a backoff.
  const fails = await queue.add('fails', {}, { attempts: 3, backoff: { type: 'fixed', delay: 100 } });
  await assert.rejects(fails.waitUntilFinished(events, 60_000), /attempt 3/);
  assert.equal(await fails.getState(), 'failed');
  await until('its failure is not told', () => seen.failed.get(fails.id) === 'attempt 3');

  const progresses = await queue.add('progresses', { n: 1 });
  assert.equal(await progresses.waitUntilFinished(events, 60_000), 2);
  assert.deepEqual((await queue.getJobLogs(progresses.id)).logs, ['half']);
  await until('its progress is not told', () => seen.progress.includes(50));

  // Delayed: not before its time. By priority: the more urgent first.
  const before = Date.now() - started;
  const late = await queue.add('late', {}, { delay: 1_000 });
  assert.equal(await late.getState(), 'delayed');
  assert.ok(await late.waitUntilFinished(events, 60_000) >= before + 900);
  assert.ok(seen.delayed.has(late.id));

  // Repeated.
  await queue.upsertJobScheduler('tick', { every: 200, limit: 3 }, { name: 'tick', data: { n: 3 } });
  await until('a repetition is missing', () => processed.filter((name) => name === 'tick').length >= 3);
  await queue.removeJobScheduler('tick');

  // A flow: the parent after its children, with their results.
  const flow = watched(new FlowProducer({ connection }));
  const tree = await flow.add({
    name: 'parent', queueName: 'work',
    children: [1, 2, 3].map((n) => ({ name: 'child', queueName: 'work', data: { n } })),
  });
  assert.deepEqual(await tree.job.waitUntilFinished(events, 60_000), [2, 4, 6]);

  // Paused and resumed.
  await queue.pause();
  const waits = await queue.add('double', { n: 21 });
  await sleep(300);
  assert.equal(await queue.isPaused(), true);
  assert.equal(await waits.getState(), 'waiting');
  await queue.resume();
  assert.equal(await waits.waitUntilFinished(events, 60_000), 42);

  const counts = await queue.getJobCounts('completed', 'failed', 'active', 'waiting');
  assert.deepEqual([counts.failed, counts.active, counts.waiting], [1, 0, 0]);
  // Of CLIENT LIST, which shows the gateway's own connections: an exception that is known.
  console.error(`workers by CLIENT LIST: ${(await queue.getWorkers()).length}`);

  await Promise.all(workers.map((worker) => worker.close()));
  await Promise.all([events.close(), flow.close()]);
  await queue.obliterate({ force: true });
  await queue.close();
  assert.deepEqual(trouble, []);
  console.log('ok');
}

main().catch((error) => { console.error(error); process.exit(1); });
