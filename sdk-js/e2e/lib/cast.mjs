// Everything that a scenario needs, made on demand and ended together: server, test page, browsers, people in rooms.

import { launchChromium, launchFirefox } from './browsers.mjs';
import { pointToProxy } from './init-scripts.mjs';
import { Server } from './server.mjs';
import { serveSite } from './site.mjs';
import { mint } from './tokens.mjs';
import { UdpProxy } from './udp-proxy.mjs';
import { until } from './until.mjs';

const LAUNCH = { chromium: launchChromium, firefox: launchFirefox };

/** A scenario's cast. Use `start`, and `end` in `after`. */
export class Cast {
  static async start({ server = {}, flags = [] } = {}) {
    const cast = new Cast(flags);
    try {
      cast.site = await serveSite();
      cast.server = await Server.start(server);
    } catch (error) {
      await cast.end();
      throw error;
    }
    return cast;
  }

  constructor(flags) {
    this.flags = flags;
    this.browsers = {};
    this.people = [];
    this.networks = [];
  }

  /** A browser, launched at its first use. */
  browser(name) {
    this.browsers[name] ??= LAUNCH[name](name === 'chromium' ? { flags: this.flags } : {});
    return this.browsers[name];
  }

  /** A page of the test site; `before` are scripts that run ahead of it. */
  async page(browser = 'chromium', before = []) {
    const launched = await this.browser(browser);
    return launched.open(this.site.url, { before });
  }

  /** A bad network; `settings` are those of `UdpProxy.start`. */
  async network(settings = {}) {
    const proxy = await UdpProxy.start(this.server.mediaPorts, settings);
    this.networks.push(proxy);
    return proxy;
  }

  /** Somebody in a room: `publish` says what they send, false for nothing; `network` is what their media goes through. */
  async join(room, identity, { browser = 'chromium', publish = {}, colour, url = this.server.ws, options = {}, token, page, network, before = [] } = {}) {
    const scripts = network ? [...before, pointToProxy(network)] : before;
    const person = page ?? (await this.page(browser, scripts));
    person.identity = identity;
    person.room = room;
    person.server = this.server;
    await person.call('connect', url, token ?? (await mint(room, identity)), options);
    if (colour) await person.call('publishColour', colour);
    else if (publish) await person.call('publish', publish);
    if (!page) this.people.push(person);
    return person;
  }

  /** What pages logged as errors, for a failure's message. */
  problems() {
    return this.people.flatMap((person) => person.problems.map((text) => `${person.identity}: ${text}`));
  }

  async end() {
    await Promise.allSettled(Object.values(this.browsers).map(async (browser) => (await browser).close()));
    await Promise.all([this.site?.close(), ...this.networks.map((network) => network.close())]);
    return this.server?.stop();
  }
}

/** The state of `source` of `identity` as `person` has it; undefined: not known. */
export async function trackOf(person, identity, source = 'camera') {
  const { participants } = await person.call('snapshot');
  return participants.find((one) => one.identity === identity)?.tracks.find((track) => track.source === source);
}

/** Waits until `person` sees frames of `identity`. */
export function seesFrames(person, identity, { source = 'camera', frames = 5, within = 15_000 } = {}) {
  return until(
    async () => {
      const track = await trackOf(person, identity, source);
      return track && track.frames >= frames ? track : undefined;
    },
    { within, what: async () => `${person.identity} to see ${identity}'s ${source}; it has ${JSON.stringify(await person.call('snapshot'))}\n${person.problems.join('\n')}` },
  );
}

/** Waits until `person` hears `identity`: the energy that it has received rises. */
export async function hears(person, identity, { within = 15_000 } = {}) {
  const energy = async () => {
    const streams = await person.call('inbound');
    return streams.find((stream) => stream.identity === identity && stream.kind === 'audio');
  };
  const first = await until(energy, { within, what: `${person.identity} to receive ${identity}'s audio` });
  return until(
    async () => {
      const now = await energy();
      return now && now.totalAudioEnergy > first.totalAudioEnergy && now.totalAudioEnergy > 0 ? now : undefined;
    },
    { within, every: 200, what: async () => `${person.identity} to hear ${identity}; it has ${JSON.stringify(await energy())}` },
  );
}

/** Watches everybody for a time: everyone decodes everyone's video and audio, with no gap of a second. */
export async function flowsFor(people, milliseconds) {
  const others = (person) => people.filter((one) => one !== person && one.room === person.room).map((one) => one.identity);
  const inbound = async (person) => new Map((await person.call('inbound')).map((stream) => [`${stream.identity}:${stream.kind}:${stream.source}`, stream]));
  await Promise.all(people.map((person) => person.call('restartWatches')));
  const before = await Promise.all(people.map(inbound));
  const startedAt = Date.now();
  await until(() => Date.now() - startedAt >= milliseconds, { within: milliseconds + 5_000, every: 250 });
  const after = await Promise.all(people.map(inbound));
  const pictures = await Promise.all(people.map((person) => person.call('snapshot')));
  return people.flatMap((person, index) =>
    others(person).map((identity) => {
      const video = (map) => map.get(`${identity}:video:camera`);
      const audio = (map) => map.get(`${identity}:audio:microphone`);
      const picture = pictures[index].participants.find((one) => one.identity === identity)?.tracks.find((track) => track.source === 'camera');
      return {
        viewer: person.identity,
        of: identity,
        decoded: (video(after[index])?.framesDecoded ?? 0) - (video(before[index])?.framesDecoded ?? 0),
        energy: (audio(after[index])?.totalAudioEnergy ?? 0) - (audio(before[index])?.totalAudioEnergy ?? 0),
        audioLevel: audio(after[index])?.audioLevel,
        codec: video(after[index])?.codec,
        maxGap: Math.max(picture?.maxGap ?? Infinity, picture?.sinceLastFrame ?? Infinity),
      };
    }),
  );
}
