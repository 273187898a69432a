/** The stage: which tiles there are, which of them are seen, and where. */

import { RemoteParticipant, type Participant, type Room, type TrackSource } from '@madang/client';

import { announce, h } from '../ui/dom';
import { icon } from '../ui/icon';
import { gridLayout, speakerLayout, stripCapacity, tilesPerPage, type Rect } from './layout';
import { Tile } from './tile';

/** How the stage is laid out. */
export type View = 'grid' | 'speaker';

/** As many pairs of slots as the SDK asks for by default: with fewer people nobody needs to be chosen. */
const PAIRS = 9;
/** Shared screens that are seen at once: so many slots the call asks for. */
export const SCREENS = 2;

/** The stage of one room. */
export class Stage {
  readonly element: HTMLElement;
  private readonly surface = h('div', { class: 'tiles' });
  private readonly pageText = h('span', { role: 'status' });
  private readonly pages: HTMLElement;
  private readonly tiles = new Map<string, Tile>();
  private readonly observer = new ResizeObserver(() => this.layout());
  private view: View = 'grid';
  private page = 0;
  private pageCount = 1;
  private pinned: string | undefined;
  private lastSpeaker: string | undefined;
  private asked = '';

  constructor(
    private readonly room: Room,
    private readonly onView: (view: View) => void,
  ) {
    this.pages = h('nav', { class: 'pages', 'aria-label': 'Pages of participants', hidden: true }, this.turner(-1), this.pageText, this.turner(1));
    this.element = h('main', { class: 'stage', 'aria-label': 'Participants' }, this.surface, this.pages);
    this.observer.observe(this.surface);
  }

  /** Brings tiles in line with the room. Cheap enough to be called for every event. */
  sync(): void {
    const wanted = this.wanted();
    for (const [key, tile] of this.tiles) {
      const want = wanted.get(key);
      if (want && want.participant === tile.participant) continue;
      tile.remove();
      this.tiles.delete(key);
    }
    for (const [key, { participant, source }] of wanted) {
      const known = this.tiles.get(key);
      if (known) {
        known.update();
        continue;
      }
      const tile = new Tile(key, participant, source, this.togglePin);
      this.tiles.set(key, tile);
      this.surface.appendChild(tile.element);
    }
    if (this.pinned && !this.tiles.has(this.pinned)) this.pinned = undefined;
    this.layout();
  }

  /** The browser cannot show a track of somebody. */
  setUnavailable(participant: Participant, { source, trackSid }: { source: TrackSource; trackSid: string }): void {
    const kind = source === 'screen_share' ? 'screen' : 'camera';
    this.tiles.get(`${participant.identity}:${kind}`)?.showUnavailable(trackSid);
  }

  /** Notes who speaks, for the speaker view. */
  setSpeakers(speakers: Participant[]): void {
    const remote = speakers.find((speaker) => !speaker.isLocal);
    if (remote) this.lastSpeaker = `${remote.identity}:camera`;
    this.sync();
  }

  /** Switches between grid and speaker view. */
  toggleView(): void {
    this.view = this.view === 'grid' ? 'speaker' : 'grid';
    this.pinned = undefined;
    announce(this.view === 'grid' ? 'Grid view' : 'Speaker view');
    this.onView(this.view);
    this.layout();
  }

  /** Whether every tile says why its picture is as it is. */
  explain(on: boolean): void {
    this.element.classList.toggle('explains', on);
  }

  /** The elements that a recording draws, with where they are on the stage. */
  visibleVideos(): { video: HTMLVideoElement; rect: DOMRect; name: string }[] {
    return [...this.tiles.values()].flatMap((tile) => {
      const video = tile.element.querySelector('video');
      return video && !tile.element.hidden ? [{ video, rect: tile.element.getBoundingClientRect(), name: tile.title }] : [];
    });
  }

  /** Ends it. */
  close(): void {
    this.observer.disconnect();
    for (const tile of this.tiles.values()) tile.remove();
    this.tiles.clear();
  }

  private readonly togglePin = (key: string): void => {
    this.pinned = this.pinned === key ? undefined : key;
    const title = this.tiles.get(key)?.title ?? '';
    announce(`${title} ${this.pinned ? 'pinned' : 'unpinned'}`);
    this.layout();
  };

  private turner(step: number): HTMLButtonElement {
    const label = step < 0 ? 'Previous page' : 'Next page';
    return h('button', { class: 'button plain square', type: 'button', 'aria-label': label, onclick: () => this.turn(step) }, icon(step < 0 ? 'previous' : 'next'));
  }

  private turn(step: number): void {
    this.page = (this.page + step + this.pageCount) % this.pageCount;
    this.layout();
  }

  /** Screens first, then the others in the order of their coming, oneself last. */
  private wanted(): Map<string, { participant: Participant; source: TrackSource }> {
    const remotes = [...this.room.remoteParticipants.values()].sort((a, b) => a.joinedAt.getTime() - b.joinedAt.getTime());
    const everybody: Participant[] = [...remotes, this.room.localParticipant];
    const wanted = new Map<string, { participant: Participant; source: TrackSource }>();
    for (const participant of everybody) {
      if (participant.isScreenShareEnabled) wanted.set(`${participant.identity}:screen`, { participant, source: 'screen_share' });
    }
    for (const participant of everybody) wanted.set(`${participant.identity}:camera`, { participant, source: 'camera' });
    return wanted;
  }

  private layout(): void {
    const { clientWidth: width, clientHeight: height } = this.surface;
    if (width === 0 || height === 0) return;
    const order = [...this.wanted().keys()].map((key) => this.tiles.get(key)).filter((tile) => tile !== undefined);
    const main = this.mainTile(order);
    const others = order.filter((tile) => tile !== main);
    const capacity = main ? stripCapacity(width, height) : tilesPerPage(width, height);
    this.pageCount = Math.max(1, Math.ceil(others.length / capacity));
    this.page = Math.min(this.page, this.pageCount - 1);
    const shown = others.slice(this.page * capacity, (this.page + 1) * capacity);

    let rects: Rect[];
    if (main) {
      const layout = speakerLayout(shown.length, width, height);
      main.place(layout.main);
      rects = layout.strip;
    } else {
      rects = gridLayout(shown.length, width, height);
    }
    for (const tile of others) tile.place(rects[shown.indexOf(tile)]);
    for (const tile of order) tile.showPinned(tile.key === this.pinned);
    const hidden = order.filter((tile) => tile !== main && !shown.includes(tile));
    reorder(this.surface, [...(main ? [main] : []), ...shown, ...hidden].map(({ element }) => element));
    this.pages.hidden = this.pageCount < 2;
    this.pageText.textContent = `Page ${this.page + 1} of ${this.pageCount}`;
    this.askFor(main ? [main, ...shown] : shown);
  }

  /** The large tile: the pin, a screen, or in speaker view whoever spoke last. */
  private mainTile(order: Tile[]): Tile | undefined {
    if (order.length < 2) return undefined;
    if (this.pinned) return this.tiles.get(this.pinned);
    const screen = order.find((tile) => tile.isScreen && !tile.participant.isLocal);
    if (screen) return screen;
    if (this.view === 'grid') return undefined;
    const speaker = this.lastSpeaker ? this.tiles.get(this.lastSpeaker) : undefined;
    return speaker ?? order.find((tile) => !tile.participant.isLocal);
  }

  /** In a room with more people or screens than slots, asks the server for those on this page. */
  private askFor(shown: Tile[]): void {
    const screens = [...this.tiles.values()].filter((tile) => tile.isScreen && !tile.participant.isLocal).length;
    if (this.room.remoteParticipants.size <= PAIRS && screens <= SCREENS && this.asked === '') return;
    const people = shown.map((tile) => tile.participant).filter((one) => one instanceof RemoteParticipant);
    const unique = [...new Set(people)].slice(0, PAIRS);
    const key = unique.map((one) => one.identity).join('\n');
    if (key === this.asked) return;
    this.asked = key;
    this.room.setPinned(unique).catch(() => (this.asked = ''));
  }
}

/** Puts elements into the order in which they are seen, for those who go through them by keyboard or ear. The one with the focus stays. */
function reorder(parent: HTMLElement, wanted: HTMLElement[]): void {
  if (wanted.every((element, index) => parent.children[index] === element)) return;
  const focused = wanted.find((element) => element.contains(document.activeElement));
  const place = focused ? wanted.indexOf(focused) : -1;
  wanted.forEach((element, index) => {
    if (focused && index < place) parent.insertBefore(element, focused);
    else if (element !== focused) parent.append(element);
  });
}
