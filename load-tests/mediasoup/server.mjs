// mediasoup behind a small HTTP API, for comparisons: `node server.mjs PORT [IP]` (scripts/mediasoup prepares it and
// starts it). One worker; a room is a router. The API speaks mediasoup's own parameters, as its clients do:
//
//   POST /rooms/ROOM/publish    {peer, dtlsParameters, tracks: [{kind, rtpParameters}]}
//   POST /rooms/ROOM/subscribe  {peer, dtlsParameters}
//     both: 201 {session, iceParameters, iceCandidates, dtlsParameters, rtpCapabilities, consumers: [rtpParameters]}
//   DELETE /sessions/SESSION
//
// A subscriber gets all that others publish: what is there, listed in the reply, and what comes later, which the client
// can tell by the router's payload types. Consumers start paused and go on when the transport is connected, at which the
// worker asks for a keyframe; that is what mediasoup's documentation advises.
//
// Bandwidth estimation is on, as a server of its makers' would have it, and never takes away what is compared:
// see INITIAL_BITRATE.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const mediasoup = createRequire(new URL('../../target/mediasoup/', import.meta.url))('mediasoup');

const CODECS = [
  { kind: 'audio', mimeType: 'audio/opus', clockRate: 48000, channels: 2 },
  { kind: 'video', mimeType: 'video/VP8', clockRate: 90000 },
];
// Of all header extensions that a router offers, those that the client of the comparison takes.
const EXTENSIONS = [
  'urn:ietf:params:rtp-hdrext:sdes:mid',
  'urn:ietf:params:rtp-hdrext:ssrc-audio-level',
  'http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01',
];
// Bits per second to a subscriber before there is an estimate. Enough for a few streams of the best encoding; what lies
// far above what is sent is probed for: with 100 Mbps, a tenth of what a subscriber got was probes.
const INITIAL_BITRATE = 10_000_000;

const port = Number(process.argv[2]);
const ip = process.argv[3] ?? '127.0.0.1';
const worker = await mediasoup.createWorker({ logLevel: 'error' });
worker.on('died', () => process.exit(1));
/** By name, for good; promises, since two may ask for one at a time. */
const rooms = new Map();
const sessions = new Map();

async function openRoom() {
  const router = await worker.createRouter({ mediaCodecs: CODECS });
  const { codecs, headerExtensions } = router.rtpCapabilities;
  const capabilities = { codecs, headerExtensions: headerExtensions.filter(({ uri }) => EXTENSIONS.includes(uri)) };
  return { router, capabilities, sessions: new Set() };
}

async function roomOf(name) {
  if (!rooms.has(name)) {
    rooms.set(name, openRoom());
  }
  return rooms.get(name);
}

async function openSession(room, peer, dtlsParameters) {
  const transport = await room.router.createWebRtcTransport({
    listenIps: [ip],
    enableUdp: true,
    initialAvailableOutgoingBitrate: INITIAL_BITRATE,
  });
  const session = { id: transport.id, room, peer, transport, producers: [], consumers: [], subscribes: false };
  sessions.set(session.id, session);
  room.sessions.add(session);
  transport.on('dtlsstatechange', (state) => {
    if (state === 'connected') {
      session.consumers.forEach(resume);
    } else if (state === 'closed' || state === 'failed') {
      closeSession(session);
    }
  });
  // The client starts the handshake.
  await transport.connect({ dtlsParameters: { ...dtlsParameters, role: 'client' } });
  return session;
}

function closeSession(session) {
  session.transport.close();
  sessions.delete(session.id);
  session.room.sessions.delete(session);
}

/** Its transport may have been closed meanwhile; then there is nothing to resume. */
function resume(consumer) {
  consumer.resume().catch(() => {});
}

async function consume(session, producer) {
  const rtpCapabilities = session.room.capabilities;
  const consumer = await session.transport.consume({ producerId: producer.id, rtpCapabilities, paused: true });
  session.consumers.push(consumer);
  if (session.transport.dtlsState === 'connected') {
    resume(consumer);
  }
}

/** Sessions of a room that show, or are shown, somebody else. */
const others = (session) => [...session.room.sessions].filter((other) => other.peer !== session.peer);

async function publish(session, { tracks }) {
  for (const { kind, rtpParameters } of tracks) {
    const producer = await session.transport.produce({ kind, rtpParameters });
    // Listed and handed out in one turn: whoever subscribes later finds it in the list.
    session.producers.push(producer);
    const subscribers = others(session).filter((other) => other.subscribes);
    await Promise.all(subscribers.map((subscriber) => consume(subscriber, producer)));
  }
}

async function subscribe(session) {
  session.subscribes = true;
  const producers = others(session).flatMap((other) => other.producers);
  await Promise.all(producers.map((producer) => consume(session, producer)));
}

function describe({ id, room, transport, consumers }) {
  const { iceParameters, iceCandidates, dtlsParameters } = transport;
  const sent = consumers.map((consumer) => consumer.rtpParameters);
  return { session: id, iceParameters, iceCandidates, dtlsParameters, rtpCapabilities: room.capabilities, consumers: sent };
}

async function answer(method, path, body) {
  const [, collection, name, verb] = path.split('/').map(decodeURIComponent);
  const join = { publish, subscribe }[verb];
  if (method === 'POST' && collection === 'rooms' && join) {
    const request = JSON.parse(body);
    const session = await openSession(await roomOf(name), request.peer, request.dtlsParameters);
    await join(session, request);
    return [201, describe(session)];
  }
  if (method === 'DELETE' && collection === 'sessions' && sessions.has(name)) {
    closeSession(sessions.get(name));
    return [200, {}];
  }
  return [404, { error: `no ${method} ${path}` }];
}

async function read(request) {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) {
    body += chunk;
  }
  return body;
}

createServer(async (request, response) => {
  const [status, reply] = await read(request)
    .then((body) => answer(request.method, request.url, body))
    .catch((error) => [400, { error: String(error) }]);
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(reply));
}).listen(port, ip);
