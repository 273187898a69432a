/** The test page: the SDK behind functions that tests call, with results as plain JSON. */

import { Room, RoomEvent, type Participant, type RemoteTrack, type RoomOptions, type TrackPublishOptions } from '@madang/client';

import { receivedVideo, sentAudio, sentVideo, styleVideo } from './adaptation';
import { connections, factories, rawStats, sockets, transport } from './connections';
import { act, view, type Act } from './random';
import { busyPicture, pseudoRandomBytes, sha256, solidColour, tone } from './sources';
import { receivingOpus, tonesOf, twoTones } from './stereo';
import { colourOf, nameColour, Watch } from './watch';

interface ConnectOptions {
  room?: Partial<RoomOptions>;
  autoSubscribe?: boolean;
  colours?: boolean;
  iceTransport?: 'tcp';
}

const elements = document.getElementById('elements') as HTMLElement;
const watches = new Map<string, Watch>();
const events: { at: number; name: string; detail: unknown }[] = [];
const texts: { from: string; text: string }[] = [];
const files: { from: string; name: string; size: number; sha256: string }[] = [];
let room: Room | undefined;
let connectedAfter: number | undefined;
let startedAt = 0;
let voice: ReturnType<typeof tone> | undefined;

function theRoom(): Room {
  if (!room) throw new Error('not connected');
  return room;
}

function note(name: string, detail: unknown): void {
  events.push({ at: performance.now(), name, detail });
}

/** One element per track, as an application would make them. */
function show(track: RemoteTrack, participant: Participant, colours: boolean): void {
  const element = track.attach();
  element.dataset['identity'] = participant.identity;
  elements.append(element);
  if (element instanceof HTMLVideoElement) {
    element.muted = true;
    watches.set(`${participant.identity}:${track.source}`, new Watch(element, colours));
  }
}

function listen(made: Room, colours: boolean): void {
  made
    .on(RoomEvent.TrackSubscribed, (track, publication, participant) => {
      note('TrackSubscribed', { identity: participant.identity, source: publication.source });
      show(track, participant, colours);
    })
    .on(RoomEvent.TrackUnsubscribed, (track, publication, participant) => {
      note('TrackUnsubscribed', { identity: participant.identity, source: publication.source });
      for (const element of track.detach()) element.remove();
    })
    .on(RoomEvent.TrackSubscriptionFailed, (publication, participant, reason) => note('TrackSubscriptionFailed', { identity: participant.identity, source: publication.source, reason }))
    .on(RoomEvent.ParticipantConnected, (participant) => note('ParticipantConnected', participant.identity))
    .on(RoomEvent.ParticipantDisconnected, (participant) => note('ParticipantDisconnected', participant.identity))
    .on(RoomEvent.TrackMuted, (publication, participant) => note('TrackMuted', { identity: participant.identity, source: publication.source }))
    .on(RoomEvent.TrackUnmuted, (publication, participant) => note('TrackUnmuted', { identity: participant.identity, source: publication.source }))
    .on(RoomEvent.ActiveSpeakersChanged, (speakers) => note('ActiveSpeakersChanged', speakers.map(({ identity }) => identity)))
    .on(RoomEvent.ConnectionStateChanged, (state) => note('ConnectionStateChanged', state))
    .on(RoomEvent.Disconnected, (reason) => note('Disconnected', reason));
  made.registerTextStreamHandler('chat', async (reader, from) => {
    texts.push({ from: from?.identity ?? '', text: await reader.readAll() });
  });
  made.registerByteStreamHandler('files', async (reader, from) => {
    const blob = await reader.readAll();
    files.push({ from: from?.identity ?? '', name: reader.info.name, size: blob.size, sha256: await sha256(await blob.arrayBuffer()) });
  });
}

/**
 * An encoder that is short of bits, as each is at first, would shrink a picture that takes all that it gets, and never let it grow
 * again: the sizes that a test waits for must be the camera's. A browser refuses while the SDK sets parameters itself.
 */
async function keepResolution(sender?: RTCRtpSender, attempts = 10): Promise<void> {
  if (!sender) return;
  const parameters = { ...sender.getParameters(), degradationPreference: 'maintain-resolution' as const };
  try {
    await sender.setParameters(parameters);
  } catch (error) {
    if (attempts === 1) throw error;
    await keepResolution(sender, attempts - 1);
  }
}

/** Answers without some candidates make the browser take the others: how a test chooses ICE-TCP. */
function onlyTcp(configuration: RTCConfiguration): RTCPeerConnection {
  const connection = factories.peerConnectionFactory(configuration);
  const original = connection.setRemoteDescription.bind(connection);
  connection.setRemoteDescription = (description: RTCSessionDescriptionInit) => {
    const sdp = description.sdp?.split('\r\n').filter((line) => !/^a=candidate:\S+ \d udp /i.test(line)).join('\r\n');
    return original({ ...description, sdp });
  };
  return connection;
}

const e2e = {
  async connect(url: string, token: string, options: ConnectOptions = {}) {
    const made = new Room({ ...factories, ...(options.iceTransport === 'tcp' ? { peerConnectionFactory: onlyTcp } : {}), ...options.room });
    listen(made, options.colours ?? false);
    room = made;
    watches.clear();
    startedAt = performance.now();
    await made.connect(url, token, { autoSubscribe: options.autoSubscribe ?? true });
    connectedAfter = performance.now() - startedAt;
    return { identity: made.localParticipant.identity, connectedAfter };
  },

  /** The reason and code with which a connect fails; null: it worked. */
  async connectError(url: string, token: string) {
    const made = new Room(factories);
    try {
      await made.connect(url, token);
      await made.disconnect();
      return null;
    } catch (error) {
      const { name, reason, code, message } = error as { name: string; reason?: string; code?: string; message: string };
      return { name, reason, code, message };
    }
  },

  async disconnect() {
    await theRoom().disconnect();
    elements.replaceChildren();
  },

  async publish(options: { width?: number; height?: number; frameRate?: number; video?: boolean; audio?: boolean } & TrackPublishOptions = {}) {
    const { width = 640, height = 360, frameRate = 15, video = true, audio = true, ...publish } = options;
    const me = theRoom().localParticipant;
    if (audio) await me.setMicrophoneEnabled(true);
    if (video) await me.setCameraEnabled(true, { resolution: { width, height, frameRate } }, publish);
  },

  async publishColour(name: string, width = 320, height = 180, publish: TrackPublishOptions = {}) {
    await theRoom().localParticipant.publishTrack(solidColour(name, width, height, 15), { ...publish, source: 'camera', simulcast: false });
  },

  /** A camera whose picture takes all the bits that its encodings may spend. */
  async publishBusy({ width = 1280, height = 720, frameRate = 15, ...publish }: { width?: number; height?: number; frameRate?: number } & TrackPublishOptions = {}) {
    const { track } = await theRoom().localParticipant.publishTrack(busyPicture(width, height, frameRate), { ...publish, source: 'camera' });
    await keepResolution(track.sender);
  },

  /** A microphone whose loudness the test decides. */
  async publishTone(hertz: number, publish: TrackPublishOptions = {}) {
    voice = tone(hertz);
    await theRoom().localParticipant.publishTrack(voice.track, { ...publish, source: 'microphone' });
  },

  /** A microphone with another tone in each channel. */
  async publishTwoTones(left: number, right: number, publish: TrackPublishOptions = {}) {
    await theRoom().localParticipant.publishTrack(twoTones(left, right), { ...publish, source: 'microphone' });
  },

  /** The tone that is heard in each channel of somebody. */
  tonesOf: (identity: string) => tonesOf(theRoom(), identity),

  receivingOpus: () => receivingOpus(connections.at(-1)?.localDescription?.sdp ?? ''),

  setLoudness(level: number) {
    if (!voice) throw new Error('no tone is published');
    voice.setLoudness(level);
  },

  /** Who speaks, as the room says now. */
  activeSpeakers: () => theRoom().activeSpeakers.map(({ identity }) => identity),

  async setMicrophone(enabled: boolean) {
    await theRoom().localParticipant.setMicrophoneEnabled(enabled);
  },

  async setCamera(enabled: boolean) {
    await theRoom().localParticipant.setCameraEnabled(enabled);
  },

  async shareScreen(enabled: boolean) {
    await theRoom().localParticipant.setScreenShareEnabled(enabled, { audio: false, preferCurrentTab: true, resolution: { width: 640, height: 360, frameRate: 5 } });
  },

  async setAttributes(attributes: Record<string, string>) {
    await theRoom().localParticipant.setAttributes(attributes);
  },

  /** The attributes of somebody, oneself included. */
  attributes: (identity: string) => theRoom().getParticipantByIdentity(identity)?.attributes ?? null,

  /** One random operation; the error's name and code where it fails, which is what an application would see. */
  act: (operation: Act) => act(theRoom(), operation),

  /** Everybody as this page sees them, itself included. */
  view: () => view(room),

  async sendText(text: string) {
    await theRoom().localParticipant.sendText(text, { topic: 'chat' });
  },

  async sendFile(size: number, seed: number) {
    const bytes = pseudoRandomBytes(size, seed);
    const progress: number[] = [];
    await theRoom().localParticipant.sendFile(new Blob([bytes]), { topic: 'files', name: 'file.bin', onProgress: (fraction) => progress.push(fraction) });
    return { sha256: await sha256(bytes), progressSteps: progress.length, lastProgress: progress.at(-1) ?? 0 };
  },

  /** What the room looks like from here, and what its elements have presented. */
  snapshot() {
    const now = performance.now();
    const participants = [...(room?.remoteParticipants.values() ?? [])].map((participant) => ({
      identity: participant.identity,
      name: participant.name,
      tracks: [...participant.trackPublications.values()].map((publication) => {
        const watch = watches.get(`${participant.identity}:${publication.source}`);
        return {
          source: publication.source,
          muted: publication.isMuted,
          codec: publication.codec ?? null,
          shown: Boolean(publication.track),
          frames: watch?.frames ?? 0,
          maxGap: watch?.maxGap ?? 0,
          sinceLastFrame: watch?.lastFrameAt === undefined ? null : now - watch.lastFrameAt,
          firstFrameAfter: watch?.firstFrameAt === undefined ? null : watch.firstFrameAt - startedAt,
          firstWidth: watch?.firstWidth ?? 0,
          width: watch?.width ?? 0,
          height: watch?.height ?? 0,
          colours: watch?.colours ?? {},
        };
      }),
    }));
    return { state: room?.state ?? null, connectedAfter, participants, elements: elements.children.length };
  },

  /** Gaps between frames are counted from now. */
  restartWatches() {
    for (const watch of watches.values()) watch.restart();
  },

  /** Inbound streams by the identity of whom they are. */
  async inbound() {
    const owners = new Map<string, { identity: string; source: string }>();
    for (const participant of theRoom().remoteParticipants.values()) {
      for (const publication of participant.trackPublications.values()) {
        if (publication.track) owners.set(publication.track.mediaStreamTrack.id, { identity: participant.identity, source: publication.source });
      }
    }
    const all = await rawStats();
    const codecs = new Map(all.filter((stat) => stat.type === 'codec').map((stat) => [stat.id, stat['mimeType']]));
    return all
      .filter((stat) => stat.type === 'inbound-rtp')
      .flatMap((stat) => {
        const owner = owners.get(String(stat['trackIdentifier']));
        if (!owner) return [];
        const { kind, bytesReceived, framesDecoded, frameWidth, frameHeight, audioLevel, totalAudioEnergy, freezeCount, packetsLost, packetsReceived, jitter, keyFramesDecoded, pliCount, nackCount } = stat;
        return [{ ...owner, kind, bytesReceived, framesDecoded, frameWidth, frameHeight, audioLevel, totalAudioEnergy, freezeCount, packetsLost, packetsReceived, jitter, keyFramesDecoded, pliCount, nackCount, codec: codecs.get(String(stat['codecId'])) }];
      });
  },

  /** Goes through participants, pinning each in turn, and waits until each is shown; now and then not for its frame. */
  async rotatePins(changes: number) {
    const made = theRoom();
    const people = [...made.remoteParticipants.values()];
    let shown = 0;
    for (let change = 0; change < changes; change++) {
      const next = people[change % people.length];
      if (!next) throw new Error('nobody to show');
      const key = `${next.identity}:camera`;
      const shownBefore = Boolean(next.getTrackPublication('camera')?.track);
      const watchBefore = watches.get(key);
      await made.setPinned([next]);
      const wantsFrame = change % 4 !== 0 && !shownBefore;
      const deadline = performance.now() + 5_000;
      for (;;) {
        const watch = watches.get(key);
        const attached = Boolean(next.getTrackPublication('camera')?.track);
        if (attached && (!wantsFrame || (watch && watch !== watchBefore && watch.frames > 0))) break;
        if (performance.now() > deadline) throw new Error(`change ${change}: ${next.identity} is not shown (attached: ${attached}, frames: ${watch?.frames ?? 0})`);
        await new Promise((done) => setTimeout(done, 10));
      }
      shown += 1;
    }
    return shown;
  },

  /** Every colour that was ever seen under an identity; elements that are gone count. */
  coloursByIdentity() {
    return coloursSeen();
  },

  /** The colour of an element that shows `colour`, and then of one that has a size and no picture. */
  async sampleBeforePicture(colour: string) {
    const full = Object.assign(document.createElement('video'), { muted: true, srcObject: new MediaStream([solidColour(colour, 320, 180, 10)]) });
    await full.play();
    await new Promise<void>((done) => full.requestVideoFrameCallback(() => done()));
    const empty = Object.defineProperties(document.createElement('video'), { videoWidth: { value: 320 }, videoHeight: { value: 180 } });
    return [full, empty].map((element) => {
      const seen = colourOf(element);
      return seen ? nameColour(seen) : 'nothing';
    });
  },

  sentAudio,
  sentVideo,
  receivedVideo: (identity: string) => receivedVideo(theRoom(), identity),
  styleVideo,
  events: () => events,
  texts: () => texts,
  files: () => files,
  transport,
  rawStats,
  connectionCount: () => connections.length,
  socketCount: () => sockets.length,
};

/** A replaced element's watch leaves the map, so totals are kept apart. */
const allWatches: { identity: string; watch: Watch }[] = [];
const setWatch = watches.set.bind(watches);
watches.set = (key, watch) => {
  allWatches.push({ identity: key.split(':')[0] ?? '', watch });
  return setWatch(key, watch);
};

function coloursSeen(): Record<string, Record<string, number>> {
  const seen: Record<string, Record<string, number>> = {};
  for (const { identity, watch } of allWatches) {
    const totals = (seen[identity] ??= {});
    for (const [colour, count] of Object.entries(watch.colours)) totals[colour] = (totals[colour] ?? 0) + count;
  }
  return seen;
}

export type E2e = typeof e2e;
Object.assign(globalThis, { e2e });
