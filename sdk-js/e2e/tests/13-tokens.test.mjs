// Tokens of npm's livekit-server-sdk open their room; wrong, expired and foreign ones get 401 or 403, and no log holds any.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { mintByPython, prepareAiortc } from '../lib/aiortc.mjs';
import { upgradeStatus } from '../lib/http.mjs';
import { DEV_KEY, Server } from '../lib/server.mjs';
import { mint } from '../lib/tokens.mjs';

let server;
const used = [];
before(async () => (server = await Server.start()));
after(() => server?.stop());

async function token(...args) {
  const made = await mint(...args);
  used.push(made);
  return made;
}

const BAD = {
  'no token': async () => '',
  'not a token': async () => 'abc.def.ghi',
  'a wrong secret': () => token('hall', 'ann', { key: { key: DEV_KEY.key, secret: 'another-secret-of-more-than-32-bytes-for-sure' } }),
  'a foreign key': () => token('hall', 'ann', { key: { key: 'strangerkey', secret: DEV_KEY.secret } }),
  'an expired token': () => token('hall', 'ann', { ttl: -120 }),
  'no right to join': () => token('hall', 'ann', { grant: { roomJoin: false } }),
  'a cut signature': async () => (await token('hall', 'ann')).slice(0, -6),
  'algorithm none': async () => {
    const [, payload] = (await token('hall', 'ann')).split('.');
    return `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${payload}.`;
  },
};

for (const [what, make] of Object.entries(BAD)) {
  test(`${what} is refused`, async () => {
    const bad = await make();
    const answers = [
      await upgradeStatus(server.http, `/v1/rtc?access_token=${bad}`),
      await upgradeStatus(server.http, '/v1/rtc', bad ? { authorization: `Bearer ${bad}` } : {}),
    ];
    for (const path of ['/whip/hall', '/whep/hall']) {
      const response = await fetch(`${server.http}${path}`, { method: 'POST', body: 'v=0\r\n', headers: { 'content-type': 'application/sdp', ...(bad ? { authorization: `Bearer ${bad}` } : {}) } });
      answers.push({ status: response.status, body: await response.text() });
    }
    for (const { status, body } of answers) {
      assert.ok(status === 401 || status === 403, `401 or 403, not ${status}: ${body}`);
      assert.ok(!bad || !body.includes(bad), 'the answer does not repeat the token');
    }
  });
}

test('a token for another room does not open this one over WHIP', async () => {
  const other = await token('elsewhere', 'ann');
  const response = await fetch(`${server.http}/whip/hall`, { method: 'POST', body: 'v=0\r\n', headers: { 'content-type': 'application/sdp', authorization: `Bearer ${other}` } });
  assert.ok([401, 403].includes(response.status), `401 or 403, not ${response.status}`);
});

test('a token of livekit-server-sdk is accepted, in the query and in the header', async () => {
  const good = await token('hall', 'ann');
  assert.equal((await upgradeStatus(server.http, `/v1/rtc?access_token=${good}`)).status, 101);
  assert.equal((await upgradeStatus(server.http, '/v1/rtc', { authorization: `Bearer ${good}` })).status, 101);
});

test("a token of LiveKit's Python SDK is accepted", { timeout: 180_000 }, async () => {
  await prepareAiortc();
  const good = await mintByPython('hall', 'ann', DEV_KEY);
  used.push(good);
  assert.equal((await upgradeStatus(server.http, '/v1/rtc', { authorization: `Bearer ${good}` })).status, 101);
});

test('the development endpoint mints tokens that work', async () => {
  const response = await fetch(`${server.http}/dev/token?room=hall&identity=dev&name=Dev`);
  assert.equal(response.status, 200);
  const made = (await response.json()).token;
  used.push(made);
  assert.equal((await upgradeStatus(server.http, `/v1/rtc?access_token=${made}`)).status, 101);
});

test('no log holds a token', () => {
  const log = server.log();
  for (const made of used) {
    const signature = made.split('.')[2];
    assert.ok(!log.includes(made) && !(signature && log.includes(signature)), 'a token was logged');
  }
});
