// A UDP proxy before the server's media ports: the bad network of whoever is pointed to it by `point-to-proxy.mjs`.
// Each worker of the server has a port of its own, so each has one here; both directions share their link over all of them.

import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';

import { Link } from './link.mjs';

/** A burst of a whole video frame to several tabs must not be lost in the kernel: that loss would not be the seed's. */
const BUFFER = 4 << 20;

/** The address that browsers reach: stock Firefox ignores a remote candidate of the loopback interface. */
export function reachableAddress() {
  const bridges = /^(docker|veth|br-|virbr|cni)/;
  const usable = Object.entries(networkInterfaces()).filter(([name]) => !bridges.test(name)).flatMap(([, addresses]) => addresses);
  return usable.find(({ family, internal, address }) => family === 'IPv4' && !internal && !address.startsWith('169.254.'))?.address ?? '127.0.0.1';
}

export class UdpProxy {
  /** Before `ports` of the server. `down` is what the browser receives, `up` what it sends; see `Link` for what they take. */
  static async start(ports, { down = {}, up = {}, seed = 1, address = reachableAddress() } = {}) {
    const proxy = new UdpProxy(address, new Link({ seed, ...down }), new Link({ seed: seed + 1, ...up }));
    for (const port of ports) await proxy.open(port);
    return proxy;
  }

  constructor(address, down, up) {
    this.address = address;
    this.down = down;
    this.up = up;
    /** The server's port to ours: what `pointToProxy` takes. */
    this.ports = {};
    this.sockets = [];
    this.closed = false;
  }

  /** Changes the path towards the browser while it runs, e.g. `{ kbps: 300 }`; Infinity: no bottleneck. */
  setDown(changes) {
    this.down.set(performance.now(), changes);
    this.drain(this.down);
  }

  setUp(changes) {
    this.up.set(performance.now(), changes);
    this.drain(this.up);
  }

  /** What happened since the start, for a failure's message. */
  counts() {
    return { down: { ...this.down.counts }, up: { ...this.up.counts } };
  }

  async close() {
    this.closed = true;
    for (const link of [this.down, this.up]) clearTimeout(link.timer);
    await Promise.all(this.sockets.map((socket) => new Promise((done) => socket.close(done))));
  }

  async open(serverPort) {
    const front = await this.socket();
    /** One socket towards the server for each of the browser's, as a NAT has. */
    const backs = new Map();
    front.on('message', async (datagram, { address, port }) => {
      const key = `${address}:${port}`;
      if (!backs.has(key)) backs.set(key, this.back(front, serverPort, address, port));
      const back = await backs.get(key);
      this.carry(this.up, datagram, () => back.send(datagram, serverPort, this.address));
    });
    this.ports[serverPort] = front.address().port;
  }

  async back(front, serverPort, address, port) {
    const back = await this.socket();
    back.on('message', (datagram) => this.carry(this.down, datagram, () => front.send(datagram, port, address)));
    return back;
  }

  async socket() {
    const socket = createSocket({ type: 'udp4', recvBufferSize: BUFFER, sendBufferSize: BUFFER });
    this.sockets.push(socket);
    // A port that is not open any more answers so; the browser or the server has left.
    socket.on('error', () => undefined);
    await new Promise((done, fail) => socket.once('error', fail).bind(0, this.address, done));
    return socket;
  }

  carry(link, datagram, deliver) {
    link.push(performance.now(), datagram.length, deliver);
    this.drain(link);
  }

  /** Delivers what is due, and comes back when the next is. */
  drain(link) {
    clearTimeout(link.timer);
    if (this.closed) return;
    for (const deliver of link.pop(performance.now())) deliver();
    const next = link.nextAt();
    if (next !== undefined) link.timer = setTimeout(() => this.drain(link), Math.max(0, next - performance.now()));
  }
}
