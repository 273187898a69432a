// The bad network that the scenarios after this one use, by itself: its rate, its queue, its seed; and it over sockets.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { test } from 'node:test';

import { Link, OVERHEAD } from '../lib/link.mjs';
import { UdpProxy } from '../lib/udp-proxy.mjs';
import { until } from '../lib/until.mjs';

/** Sends `kbps` in packets of `bytes` from `from` to `to` (ms) and drains every 5 ms; gives what arrived, and when. */
function offer(link, { kbps, bytes = 1_000, from = 0, to }) {
  const arrived = [];
  const gap = ((bytes + OVERHEAD) * 8) / kbps;
  for (let now = from, next = from; now < to; now += 5) {
    for (; next <= now; next += gap) link.push(now, bytes, { sent: now });
    for (const cargo of link.pop(now)) arrived.push({ ...cargo, at: now });
  }
  return arrived;
}

const rate = (packets, bytes, milliseconds) => (packets.length * (bytes + OVERHEAD) * 8) / milliseconds;
const within = (value, wanted, share) => assert.ok(Math.abs(value / wanted - 1) <= share, `${value} is within ${share} of ${wanted}`);

for (const kbps of [100, 300, 1_000, 5_000]) {
  test(`${kbps} kbps carries that and no more, in small packets and in large ones`, () => {
    for (const bytes of [80, 1_200]) {
      const arrived = offer(new Link({ kbps }), { kbps: 2 * kbps, bytes, to: 10_000 });
      within(rate(arrived, bytes, 10_000), kbps, 0.05);
    }
  });
}

test('below the capacity nothing is dropped or held', () => {
  const link = new Link({ kbps: 1_000, queueMs: 50 });
  const arrived = offer(link, { kbps: 800, to: 10_000 });
  assert.equal(link.counts.dropped, 0);
  assert.ok(Math.max(...arrived.map(({ sent, at }) => at - sent)) <= 20, 'a packet takes its own time and no more');
});

test('the queue is bounded in time, and full when too much is sent', () => {
  const link = new Link({ kbps: 300, queueMs: 200, delayMs: 30 });
  const arrived = offer(link, { kbps: 900, to: 5_000 });
  const own = (1_028 * 8) / 300;
  const waits = arrived.map(({ sent, at }) => at - sent - 30);
  assert.ok(Math.max(...waits) <= 200 + own + 5, `${Math.max(...waits)} ms at most`);
  assert.ok(waits.at(-1) >= 200 - own, `${waits.at(-1)} ms in the end`);
  assert.equal(link.counts.in, link.counts.dropped + arrived.length + link.queue.length + link.flying.length, 'each packet has one fate');
});

test('a new capacity counts at once, for what waits too', () => {
  const link = new Link({ kbps: 300 });
  offer(link, { kbps: 600, to: 5_000 });
  link.set(5_000, { kbps: 3_000 });
  within(rate(offer(link, { kbps: 6_000, from: 5_000, to: 10_000 }), 1_000, 5_000), 3_000, 0.05);
  link.set(10_000, { kbps: 100 });
  within(rate(offer(link, { kbps: 200, from: 10_000, to: 30_000 }), 1_000, 20_000), 100, 0.05);
});

test('loss is what was asked for, and the same for the same seed', () => {
  const fates = (seed, loss) => {
    const link = new Link({ seed, loss });
    return Array.from({ length: 20_000 }, (_, now) => (link.push(now, 100, now), link.pop(now).length));
  };
  const first = fates(7, 0.05);
  within(first.filter((out) => out === 0).length, 1_000, 0.1);
  assert.deepEqual(fates(7, 0.05), first);
  assert.notDeepEqual(fates(8, 0.05), first);
});

test('jitter spreads arrivals and keeps the order', () => {
  const link = new Link({ delayMs: 20, jitterMs: 30 });
  const arrivals = [];
  for (let now = 0; now < 10_000; now++) {
    if (now % 10 === 0) link.push(now, 100, now);
    for (const sent of link.pop(now)) arrivals.push({ sent, took: now - sent });
  }
  const took = arrivals.map((one) => one.took);
  assert.ok(Math.min(...took) >= 20 && Math.max(...took) <= 51, `${Math.min(...took)} to ${Math.max(...took)} ms`);
  assert.ok(Math.max(...took) - Math.min(...took) > 20, 'they are spread');
  assert.deepEqual(arrivals.map(({ sent }) => sent), arrivals.map(({ sent }) => sent).sort((a, b) => a - b));
});

test('over sockets: it forwards both ways, several ports, at its rate', { timeout: 30_000 }, async (t) => {
  const bound = () => new Promise((done) => {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1', () => done(socket));
  });
  const [server, second, client] = await Promise.all([bound(), bound(), bound()]);
  const ports = [server, second].map((socket) => socket.address().port);
  const proxy = await UdpProxy.start(ports, { address: '127.0.0.1', down: { kbps: 1_000 } });
  t.after(() => Promise.all([proxy.close(), ...[server, second, client].map((socket) => new Promise((done) => socket.close(done)))]));

  for (const socket of [server, second]) socket.on('message', (datagram, { port }) => socket.send(datagram, port, '127.0.0.1'));
  const echoed = new Set();
  client.on('message', (datagram) => echoed.add(datagram.toString()));
  for (const port of ports) client.send(`to ${port}`, proxy.ports[port], '127.0.0.1');
  await until(() => ports.every((port) => echoed.has(`to ${port}`)), { what: () => `both echoes; there are ${[...echoed]}` });

  // What leaves here at 2 Mbps for a second comes back at 1 Mbps: the way up is free, the way down is not.
  const before = proxy.counts().down;
  const startedAt = performance.now();
  const payload = Buffer.alloc(1_000);
  let sent = 0;
  while (performance.now() - startedAt < 1_000) {
    for (; sent < ((performance.now() - startedAt) * 2_000) / 8 / 1_028; sent++) client.send(payload, proxy.ports[ports[0]], '127.0.0.1');
    await new Promise((done) => setTimeout(done, 5));
  }
  const elapsed = performance.now() - startedAt;
  const { out, dropped } = proxy.counts().down;
  // The machine may hold this process up, so it may be less; more it cannot be.
  const kbps = ((out - before.out) * 1_028 * 8) / elapsed;
  assert.ok(kbps >= 700 && kbps <= 1_050, `${kbps} kbps`);
  assert.ok(dropped > 0, 'the rest is dropped');
});
