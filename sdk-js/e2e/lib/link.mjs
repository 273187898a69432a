// One direction of an emulated path: random loss, a bottleneck with a bounded queue, delay and jitter, in that order.
// It is told the time (milliseconds, any origin, never backwards) and has neither clock nor sockets: `udp-proxy.mjs` adds
// those, and its own test runs it in virtual time.
//
// Invariants: packets leave in the order in which they came; a packet never waits longer than `queueMs` for the bottleneck
// at the capacity of the moment it came; loss and jitter depend on the seed and the sequence of packets alone, not on time.

import { seeded } from './random.mjs';

/** What IPv4 and UDP add to each payload; the bottleneck carries it, too. */
export const OVERHEAD = 28;

const DEFAULTS = { kbps: Infinity, queueMs: 200, delayMs: 0, jitterMs: 0, loss: 0 };

export class Link {
  constructor({ seed = 1, ...settings } = {}) {
    this.settings = { ...DEFAULTS, ...settings };
    this.random = seeded(seed);
    /** Packets before the bottleneck; the first is being sent, `sent` bits of it have left. */
    this.queue = [];
    this.backlog = 0;
    this.sent = 0;
    this.servedUntil = 0;
    /** Packets behind the bottleneck, each with the time at which it arrives. */
    this.flying = [];
    this.lastArrival = -Infinity;
    this.counts = { in: 0, lost: 0, dropped: 0, out: 0, bytesOut: 0, maxWaitMs: 0 };
  }

  /** Changes the path from now on; what waits is sent at the new capacity. */
  set(now, changes) {
    this.serve(now);
    Object.assign(this.settings, changes);
  }

  /** A packet comes. `cargo` is given back when it arrives. */
  push(now, bytes, cargo) {
    this.serve(now);
    this.counts.in += 1;
    // Both are drawn for every packet, so that a change of one setting does not change what another decides.
    const [fate, shake] = [this.random(), this.random()];
    if (fate < this.settings.loss) return void (this.counts.lost += 1);
    const wait = this.backlog / this.settings.kbps;
    if (wait > this.settings.queueMs) return void (this.counts.dropped += 1);
    this.counts.maxWaitMs = Math.max(this.counts.maxWaitMs, wait);
    const bits = (bytes + OVERHEAD) * 8;
    if (this.backlog === 0) this.servedUntil = now;
    this.queue.push({ bits, bytes, cargo, shake });
    this.backlog += bits;
    this.serve(now);
  }

  /** Takes what has arrived by now. */
  pop(now) {
    this.serve(now);
    const arrived = [];
    while (this.flying.length > 0 && this.flying[0].at <= now) arrived.push(this.flying.shift());
    for (const { bytes } of arrived) {
      this.counts.out += 1;
      this.counts.bytesOut += bytes;
    }
    return arrived.map(({ cargo }) => cargo);
  }

  /** When there is something to do next; undefined: nothing is under way. */
  nextAt() {
    if (this.flying.length > 0) return this.flying[0].at;
    const [head] = this.queue;
    return head && this.servedUntil + (head.bits - this.sent) / this.settings.kbps;
  }

  /** Lets the bottleneck send until now. Kilobits a second are bits a millisecond. */
  serve(now) {
    while (this.queue.length > 0) {
      const [head] = this.queue;
      const finish = this.servedUntil + (head.bits - this.sent) / this.settings.kbps;
      if (finish > now) {
        const bits = (now - this.servedUntil) * this.settings.kbps;
        this.sent += bits;
        this.backlog -= bits;
        this.servedUntil = now;
        return;
      }
      this.backlog -= head.bits - this.sent;
      this.sent = 0;
      this.servedUntil = finish;
      this.queue.shift();
      this.fly(head, finish);
    }
    this.backlog = 0;
    this.servedUntil = now;
  }

  fly({ bytes, cargo, shake }, at) {
    const arrival = at + this.settings.delayMs + shake * this.settings.jitterMs;
    this.lastArrival = Math.max(this.lastArrival, arrival);
    this.flying.push({ at: this.lastArrival, bytes, cargo });
  }
}
