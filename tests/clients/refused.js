// ioredis and node-redis with a certificate that is nobody's: refused.js MODULE PORT DIRECTORY USER
// The application's first command has to fail with the gateway's own line.
'use strict';
const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const [, , name, port, directory, user] = process.argv;
const library = require(name);

const tls = {
  ca: readFileSync(`${directory}/ca.crt`),
  cert: readFileSync(`${directory}/${user}.crt`),
  key: readFileSync(`${directory}/${user}.key`),
};
const expected = /^(ReplyError|SimpleError|Error): NOPERM no user is mapped to this certificate \(reference /;

async function main() {
  const isNodeRedis = name.startsWith('redis');
  const client = isNodeRedis
    ? library.createClient({ socket: { host: 'localhost', port: Number(port), tls: true, reconnectStrategy: false, ...tls } })
    : new library.Redis({ host: 'localhost', port: Number(port), tls, retryStrategy: null });
  client.on('error', () => {});
  const asked = async () => {
    if (isNodeRedis) await client.connect();
    return client.get('k');
  };
  await assert.rejects(asked, (error) => {
    assert.match(String(error), expected);
    return true;
  });
  console.log('ok');
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
