/** The lobby: who you are, which room, and how you look and sound before others see it. */

import { constraintsFor, DevicePicker } from './devices';
import { describeToken, devEntry, EntryError, foreignHost, loadTicket, roomFromLocation, saveTicket, serverUrl, tokenFromLocation, type Entry } from './entry';
import { loadPrefs, savePrefs, type Prefs } from './prefs';
import { askDialog } from './ui/dialog';
import { announce, h } from './ui/dom';
import { icon, type IconName } from './ui/icon';
import { LevelMeter } from './ui/meter';
import { explainTrouble } from './words';

/** What the lobby hands to the call. */
export interface Admission extends Entry {
  room: string;
  name: string;
  prefs: Prefs;
  /** The token is one that a person was given, not one that the server hands to everybody. */
  hasTicket: boolean;
}

/** One lobby; it lives until somebody enters. */
export class Lobby {
  readonly element: HTMLElement;
  private readonly prefs = loadPrefs();
  private readonly video = h('video', { class: 'mirror', playsinline: true, muted: true, autoplay: true, hidden: true });
  private readonly empty = h('p', { class: 'preview-empty' }, 'Camera is off');
  private readonly trouble = h('div', { class: 'notice bad', role: 'alert', hidden: true });
  private readonly notice = h('div', { class: 'notice', hidden: true });
  private readonly meterBar = h('div', { class: 'meter', 'aria-hidden': 'true' }, h('i'));
  private readonly name: HTMLInputElement;
  private readonly room: HTMLInputElement;
  private readonly token: HTMLInputElement;
  private readonly enter = h('button', { class: 'button primary', type: 'submit' }, 'Enter the room');
  private readonly pickers: Record<'camera' | 'microphone' | 'speaker', DevicePicker>;
  private readonly streams: { camera?: MediaStream | undefined; microphone?: MediaStream | undefined } = {};
  private readonly showToggle = { camera: () => {}, microphone: () => {} };
  private readonly troubles = { camera: '', microphone: '' };
  private meter: LevelMeter | undefined;
  private closed = false;

  constructor(private readonly onEnter: (admission: Admission) => void) {
    const given = tokenFromLocation(location) || (loadTicket(roomFromLocation(location))?.token ?? '');
    const claims = describeToken(given);
    this.video.muted = true;
    this.name = h('input', { class: 'input', id: 'name', name: 'name', required: true, maxlength: 60, autocomplete: 'name', value: claims.name || this.prefs.name });
    this.room = h('input', { class: 'input', id: 'room', name: 'room', required: true, maxlength: 80, autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', value: claims.room || roomFromLocation(location) || 'courtyard' });
    this.token = h('input', { class: 'input', id: 'token', name: 'token', autocomplete: 'off', spellcheck: 'false', value: given });
    this.room.readOnly = claims.room !== '';
    this.pickers = {
      camera: new DevicePicker('videoinput', this.prefs.cameraId, (id) => this.choose('camera', { cameraId: id })),
      microphone: new DevicePicker('audioinput', this.prefs.microphoneId, (id) => this.choose('microphone', { microphoneId: id })),
      speaker: new DevicePicker('audiooutput', this.prefs.speakerId, (id) => this.remember({ speakerId: id })),
    };
    this.element = this.build();
    navigator.mediaDevices?.addEventListener('devicechange', this.refreshDevices);
    void this.start();
  }

  /** Shows why an entry failed; the lobby may be tried again. */
  showError(message: string): void {
    this.trouble.textContent = message;
    this.trouble.hidden = false;
  }

  /** Lets the devices go. */
  close(): void {
    this.closed = true;
    navigator.mediaDevices?.removeEventListener('devicechange', this.refreshDevices);
    this.release('camera');
    this.release('microphone');
    this.meter?.stop();
    this.element.remove();
  }

  private build(): HTMLElement {
    const form = h(
      'form',
      { class: 'lobby-form', onsubmit: (event: Event) => void this.submit(event) },
      h('h1', { tabindex: -1 }, 'Come into the yard.'),
      h('p', { class: 'lead' }, 'See and hear yourself first. Nobody else can until you enter.'),
      this.trouble,
      h('div', { class: 'field' }, h('label', { for: 'name' }, 'Your name'), this.name),
      h('div', { class: 'field' }, h('label', { for: 'room' }, 'Room'), this.room),
      this.enter,
      h('details', {}, h('summary', {}, 'Devices'), h('div', { class: 'devices' }, this.pickers.camera.element, this.pickers.microphone.element, this.pickers.speaker.element)),
      h(
        'details',
        { open: this.token.value !== '' },
        h('summary', {}, 'I have a token'),
        h('div', { class: 'devices' }, h('div', { class: 'field' }, h('label', { for: 'token' }, 'Access token'), this.token)),
      ),
    );
    return h(
      'div',
      { class: 'lobby' },
      h('header', { class: 'brand' }, h('img', { src: './favicon.svg', alt: '' }), 'Madang', h('small', { lang: 'ko' }, '마당')),
      h('main', { class: 'lobby-main' }, this.buildYard(), form),
      h('footer', { class: 'lobby-foot' }, 'A madang is a courtyard, where a house comes together.'),
    );
  }

  private buildYard(): HTMLElement {
    return h(
      'section',
      { class: 'yard', 'aria-label': 'Preview' },
      h('div', { class: 'preview' }, this.video, this.empty),
      h('div', { class: 'preview-controls' }, this.toggle('microphone', 'Microphone', 'mic', 'micOff'), this.toggle('camera', 'Camera', 'camera', 'cameraOff'), this.meterBar),
      this.notice,
    );
  }

  private toggle(kind: 'camera' | 'microphone', label: string, on: IconName, off: IconName): HTMLButtonElement {
    const button = h('button', { class: 'button square toggle', type: 'button', 'aria-label': label, title: label });
    this.showToggle[kind] = () => {
      button.setAttribute('aria-pressed', String(this.prefs[kind]));
      button.replaceChildren(icon(this.prefs[kind] ? on : off));
    };
    button.addEventListener('click', () => {
      this.remember({ [kind]: !this.prefs[kind] });
      this.showToggle[kind]();
      announce(`${label} ${this.prefs[kind] ? 'on' : 'off'}`);
      void this.open(kind);
    });
    this.showToggle[kind]();
    return button;
  }

  private async start(): Promise<void> {
    // One after the other: two permission prompts at once confuse people and some browsers.
    await this.open('camera');
    await this.open('microphone');
  }

  private async open(kind: 'camera' | 'microphone'): Promise<void> {
    this.release(kind);
    this.explain(kind, '');
    if (this.prefs[kind] && !this.closed) {
      const camera = kind === 'camera';
      try {
        if (!navigator.mediaDevices) throw new Error('there is no mediaDevices');
        const constraints = constraintsFor(camera ? this.prefs.cameraId : this.prefs.microphoneId, camera);
        const stream = await navigator.mediaDevices.getUserMedia(camera ? { video: constraints } : { audio: constraints });
        if (this.closed || !this.prefs[kind]) stream.getTracks().forEach((track) => track.stop());
        else this.streams[kind] = stream;
      } catch (error) {
        const trouble = explainTrouble(kind, error);
        this.explain(kind, trouble ? `${trouble.title}. ${trouble.text}` : '');
        // Off for now, and not remembered: the next visit tries again.
        this.prefs[kind] = false;
        this.showToggle[kind]();
      }
    }
    this.show(kind);
    await this.refreshDevices();
  }

  private explain(kind: 'camera' | 'microphone', text: string): void {
    this.troubles[kind] = text;
    const texts = [this.troubles.camera, this.troubles.microphone].filter(Boolean);
    this.notice.replaceChildren(...texts.map((one) => h('p', {}, one)));
    this.notice.hidden = texts.length === 0;
  }

  private show(kind: 'camera' | 'microphone'): void {
    if (this.closed) return;
    const stream = this.streams[kind];
    if (kind === 'camera') {
      this.video.srcObject = stream ?? null;
      this.video.hidden = !stream;
      this.empty.hidden = Boolean(stream);
      this.empty.textContent = this.troubles.camera ? 'No camera picture' : 'Camera is off';
    } else if (stream || this.meter) {
      this.meter ??= new LevelMeter(this.meterBar);
      this.meter.watch(stream);
    }
  }

  private release(kind: 'camera' | 'microphone'): void {
    this.streams[kind]?.getTracks().forEach((track) => track.stop());
    this.streams[kind] = undefined;
  }

  private choose(kind: 'camera' | 'microphone', changed: Partial<Prefs>): void {
    this.remember(changed);
    void this.open(kind);
  }

  private remember(changed: Partial<Prefs>): void {
    Object.assign(this.prefs, changed);
    savePrefs(changed);
  }

  private readonly refreshDevices = async (): Promise<void> => {
    await Promise.all(Object.values(this.pickers).map((picker) => picker.refresh()));
  };

  private async submit(event: Event): Promise<void> {
    event.preventDefault();
    const name = this.name.value.trim();
    const room = this.room.value.trim();
    if (!name || !room) return;
    this.trouble.hidden = true;
    this.enter.disabled = true;
    this.enter.textContent = 'Entering…';
    this.remember({ name });
    try {
      const url = serverUrl(location);
      const foreign = foreignHost(url, location);
      if (foreign && !(await mayGoTo(foreign))) return;
      const token = this.token.value.trim();
      saveTicket(token ? { room, token } : undefined);
      const entry = token ? { token, url } : await devEntry(room, name, location);
      this.onEnter({ ...entry, room, name, prefs: { ...this.prefs }, hasTicket: token !== '' });
    } catch (error) {
      if (error instanceof EntryError && error.needsToken) this.token.closest('details')?.setAttribute('open', '');
      this.showError(error instanceof EntryError ? error.message : `Entering failed: ${String(error)}`);
    } finally {
      this.enter.disabled = false;
      this.enter.textContent = 'Enter the room';
    }
  }
}

/** Whoever made the link chose the server; the person decides whether to go there. */
function mayGoTo(host: string): Promise<boolean> {
  const text = `This link leads to a call at ${host}, which is not the server of this page (${location.host}). Your name, your token, your camera and your microphone go there. Go on only if you trust it.`;
  return askDialog('Another server', text, `Go to ${host}`);
}
