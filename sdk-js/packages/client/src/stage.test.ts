import { EventEmitter } from 'eventemitter3';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { RoomEvents } from './events';
import { Intents } from './intents';
import { MediaTransport } from './media-transport';
import type { RemoteTrackPublication } from './publication';
import type { RemoteParticipant } from './remote-participant';
import { Roster } from './roster';
import { Stage } from './stage';
import { FakePeerConnection } from './testing/fake-peer';
import type { FakeTrack } from './testing/fake-peer';
import { participant, sid, track } from './testing/fake-socket';
import { FakeElement, stubPage } from './testing/page';
import { random } from './testing/random';
import { Wishes } from './wishes';

/** Gates that wait for a frame; a test opens them as frames would. */
const gates: { open: () => void; stopped: boolean }[] = [];
vi.mock('./frame-gate', () => ({
  waitForFrame: (_track: unknown, _after: number, open: () => void) => {
    const gate = { open, stopped: false };
    gates.push(gate);
    return () => (gate.stopped = true);
  },
}));

const NAMES = ['ann', 'bob', 'cy', 'dee', 'eve', 'fay'];
const video = (name: string): string => `TR_${name}`;
const id = (name: string): string => sid('PA', String(NAMES.indexOf(name) + 1));

let events: EventEmitter<RoomEvents>;
let roster: Roster;
let stage: Stage;
let transport: MediaTransport;
const elements = new Map<string, FakeElement>();

beforeEach(async () => {
  stubPage();
  gates.length = 0;
  elements.clear();
  events = new EventEmitter();
  const remove = (publication: RemoteTrackPublication, who: RemoteParticipant): void => stage.remove(publication, who);
  roster = new Roster(events, { subscribe: async () => {}, wishes: new Wishes(), intents: new Intents() }, remove, () => {});
  stage = new Stage(roster, events, () => {});
  transport = new MediaTransport({ peerConnectionFactory: () => new FakePeerConnection() as unknown as RTCPeerConnection });
  await transport.negotiate(async () => 'v=0\r\n');
  events.on('trackSubscribed', (it, _publication, who) => elements.set(who.identity, it.attach() as unknown as FakeElement));
  events.on('trackUnsubscribed', (it, _publication, who) => {
    for (const element of it.detach()) expect((element as unknown as FakeElement).shown).toBeUndefined();
    elements.delete(who.identity);
  });
  roster.replace(NAMES.map((name) => participant(id(name), name, [track(video(name))])));
});
afterEach(() => vi.unstubAllGlobals());

const slot = (index: number, name: string | undefined, after: number | null = null) => ({
  slot: index,
  participant: name === undefined ? null : id(name),
  audio: null,
  video: name === undefined ? null : { track: video(name), after },
});
const lineOf = (index: number): FakeTrack => transport.line(index, 'video')!.receiver.track as unknown as FakeTrack;

it('empties the old element before it acknowledges, and shows the new one only after its first frame', () => {
  stage.apply(transport, 1, [slot(0, 'ann')], () => {});
  const ann = elements.get('ann')!;
  expect(ann.shown).toBe(lineOf(0));
  stage.apply(transport, 2, [slot(0, 'bob', 900)], (revision) => {
    expect(revision).toBe(2);
    expect(ann.shown).toBeUndefined();
    expect(elements.get('bob')).toBeUndefined();
  });
  expect(elements.get('bob')!.shown).toBeUndefined();
  gates.at(-1)!.open();
  expect(elements.get('bob')!.shown).toBe(lineOf(0));
});

it('keeps the track and its elements when it moves to another slot', () => {
  stage.apply(transport, 1, [slot(0, 'ann'), slot(1, 'bob')], () => {});
  const ann = elements.get('ann')!;
  stage.apply(transport, 2, [slot(0, undefined), slot(1, 'ann', 5)], () => {});
  expect(elements.get('ann')).toBe(ann);
  expect(ann.shown).toBeUndefined();
  gates.at(-1)!.open();
  expect(ann.shown).toBe(lineOf(1));
  expect(elements.has('bob')).toBe(false);
});

it('shows a publication that becomes known after its slot', () => {
  stage.apply(transport, 1, [{ ...slot(0, 'ann'), video: { track: 'TR_late', after: null } }], () => {});
  expect(elements.size).toBe(0);
  roster.publish(id('ann'), track('TR_late', { source: 'screen_share' }));
  stage.revisit(transport, 'TR_late');
  expect(elements.get('ann')!.shown).toBe(lineOf(0));
});

it('lets go of a track that ends or whose participant leaves', () => {
  stage.apply(transport, 1, [slot(0, 'ann'), slot(1, 'bob')], () => {});
  const [ann, bob] = [elements.get('ann')!, elements.get('bob')!];
  roster.unpublish(id('ann'), video('ann'));
  roster.leave(id('bob'));
  expect([ann.shown, bob.shown]).toEqual([undefined, undefined]);
  expect(elements.size).toBe(0);
});

it('never shows a line under a name that does not own it, over random changes with frames at random times', () => {
  for (let seed = 1; seed <= 100; seed++) {
    const next = random(seed);
    const owner: (string | undefined)[] = [];
    stage.clear();
    for (let revision = 1; revision <= 30; revision++) {
      const indexes = [0, 1, 2, 3].filter(() => next(2) === 0);
      const names = NAMES.filter((name) => !owner.some((it, index) => it === name && !indexes.includes(index)));
      const changed = indexes.map((index) => {
        const name = next(4) === 0 ? undefined : names.splice(next(names.length), 1)[0];
        owner[index] = name;
        return slot(index, name, next(3) === 0 ? null : 1);
      });
      const check = (): void => {
        for (const [name, element] of elements) {
          const shown = element.shown;
          if (shown) expect(shown, `seed ${seed}, revision ${revision}, ${name}`).toBe(lineOf(owner.indexOf(name)));
        }
      };
      stage.apply(transport, revision, changed, check);
      check();
      for (const gate of gates.splice(0)) if (!gate.stopped && next(2) === 0) gate.open();
      check();
      expect([...elements.keys()].sort(), `seed ${seed}`).toEqual(owner.filter((it) => it !== undefined).sort());
    }
  }
});
