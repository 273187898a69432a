/** The chat panel: lines and files. */

import { DataError, type ByteStreamReader, type RemoteParticipant, type Room, type TextStreamReader } from '@madang/client';

import { announce, bytes, h } from '../ui/dom';
import { icon } from '../ui/icon';

const CHAT = 'chat';
const FILES = 'files';
/** Files are held in memory by every receiver, so they stay small. */
const MAX_FILE = 50_000_000;
/** Bytes of one line: four for each of the characters that can be typed. */
const MAX_TEXT = 16_000;
/** Older lines are dropped. */
const MAX_LINES = 500;

/** A name for people. */
function nameOf(participant: RemoteParticipant | undefined): string {
  return participant ? participant.name || participant.identity : 'Somebody';
}

/** The panel; it counts what came while it was closed. */
export class Chat {
  readonly element: HTMLElement;
  private readonly lines = h('ol', { class: 'lines', 'aria-label': 'Messages', tabindex: 0 });
  private readonly input = h('textarea', { class: 'input', rows: 1, maxlength: 4000, 'aria-label': 'Message', placeholder: 'Write to the room' });
  private readonly picker = h('input', { type: 'file', hidden: true, multiple: true, 'aria-label': 'Choose files' });
  private readonly urls = new Set<string>();
  private unread = 0;

  constructor(
    private readonly room: Room,
    private readonly onUnread: (count: number) => void,
    onClose: () => void,
  ) {
    const close = h('button', { class: 'button plain square', type: 'button', 'aria-label': 'Close chat', onclick: onClose }, icon('close'));
    const attach = h('button', { class: 'button plain square', type: 'button', 'aria-label': 'Send a file', title: 'Send a file', onclick: () => this.picker.click() }, icon('attach'));
    const send = h('button', { class: 'button primary square', type: 'submit', 'aria-label': 'Send' }, icon('send'));
    const form = h('form', { class: 'compose', onsubmit: (event: Event) => this.submit(event) }, attach, this.picker, this.input, send);
    this.input.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) this.submit(event);
    });
    this.picker.addEventListener('change', () => {
      this.sendFiles(this.picker.files ?? []);
      this.picker.value = '';
    });
    this.element = h('aside', { class: 'panel', 'aria-label': 'Chat', hidden: true }, h('div', { class: 'dialog-head' }, h('h2', {}, 'Chat'), close), this.lines, form);
    room.registerTextStreamHandler(CHAT, (reader, from) => void this.receiveText(reader, nameOf(from)));
    room.registerByteStreamHandler(FILES, (reader, from) => void this.receiveFile(reader, nameOf(from)));
  }

  /** Whether it is seen. */
  get isOpen(): boolean {
    return !this.element.hidden;
  }

  /** Opens it with the cursor in the message, or closes it. */
  setOpen(open: boolean): void {
    this.element.hidden = !open;
    if (!open) return;
    this.unread = 0;
    this.onUnread(0);
    this.lines.scrollTop = this.lines.scrollHeight;
    this.input.focus();
  }

  /** Sends files to everybody, each with its progress. */
  sendFiles(files: Iterable<File>): void {
    for (const file of files) void this.sendFile(file);
  }

  /** Frees what received files hold. */
  close(): void {
    for (const url of this.urls) URL.revokeObjectURL(url);
    this.room.unregisterTextStreamHandler(CHAT);
    this.room.unregisterByteStreamHandler(FILES);
  }

  private submit(event: Event): void {
    event.preventDefault();
    const text = this.input.value.trim();
    if (!text) return;
    this.input.value = '';
    const line = this.add('You', h('div', { class: 'text' }, text));
    this.room.localParticipant.sendText(text, { topic: CHAT }).catch(() => {
      line.append(h('div', { class: 'from', role: 'alert' }, 'Not sent: the connection is down.'));
    });
  }

  /** A text that is too long, or never ends, is not shown. */
  private async receiveText(reader: TextStreamReader, from: string): Promise<void> {
    const text = await reader.readAll({ maxBytes: MAX_TEXT }).catch(() => undefined);
    if (text !== undefined) this.receive(from, text);
  }

  private receive(from: string, text: string): void {
    this.add(from, h('div', { class: 'text' }, text));
    this.noticed(`${from}: ${text.slice(0, 200)}`);
  }

  private noticed(text: string): void {
    announce(text);
    if (this.isOpen) return;
    this.unread += 1;
    this.onUnread(this.unread);
  }

  private add(from: string, body: HTMLElement): HTMLElement {
    const atEnd = this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight < 60;
    const time = new Date().toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    const line = h('li', { class: 'line' }, h('div', { class: 'from' }, `${from} · ${time}`), body);
    this.lines.append(line);
    while (this.lines.children.length > MAX_LINES) this.lines.firstElementChild?.remove();
    if (atEnd || from === 'You') this.lines.scrollTop = this.lines.scrollHeight;
    return line;
  }

  private async sendFile(file: File): Promise<void> {
    const card = new FileCard(file.name, file.size);
    this.add('You', card.element);
    if (file.size > MAX_FILE) {
      card.finish(`Too large: at most ${bytes(MAX_FILE)}`);
      announce(`${file.name} is too large`, 'urgent');
      return;
    }
    const abort = new AbortController();
    card.showCancel(() => abort.abort());
    try {
      await this.room.localParticipant.sendFile(file, { topic: FILES, name: file.name, signal: abort.signal, onProgress: card.progress });
      card.finish('Sent');
      announce(`${file.name} sent`);
    } catch {
      card.finish(abort.signal.aborted ? 'Cancelled' : 'Failed');
    }
  }

  private async receiveFile(reader: ByteStreamReader, from: string): Promise<void> {
    const { name, size } = reader.info;
    const card = new FileCard(name || 'file', size ?? 0);
    this.add(from, card.element);
    if ((size ?? 0) > MAX_FILE) {
      reader.cancel();
      card.finish('Too large to receive here');
      return;
    }
    reader.onProgress = card.progress;
    let cancelled = false;
    card.showCancel(() => {
      cancelled = true;
      reader.cancel();
    });
    try {
      const received = await reader.readAll({ maxBytes: MAX_FILE });
      // Never under the sender's type: opened in a tab, HTML or SVG would be a page of ours.
      const url = URL.createObjectURL(new Blob([received], { type: 'application/octet-stream' }));
      this.urls.add(url);
      card.offer(url);
      this.noticed(`${from} sent the file ${name}`);
    } catch (error) {
      const tooLarge = error instanceof DataError && error.failure === 'tooLarge';
      card.finish(cancelled ? 'Cancelled' : tooLarge ? 'Too large to receive here' : 'Cancelled by the sender');
    }
  }
}

/** A file in the chat: name, size, progress, and what can be done. */
class FileCard {
  readonly element: HTMLElement;
  readonly progress = (fraction: number): void => {
    this.bar.value = fraction;
    this.state.textContent = `${Math.round(fraction * 100)} %`;
  };
  private readonly bar: HTMLProgressElement;
  private readonly state = h('span', { class: 'from' });
  private readonly actions = h('div', { class: 'row' });

  constructor(
    private readonly name: string,
    size: number,
  ) {
    this.bar = h('progress', { max: 1, value: 0, 'aria-label': `Progress of ${name}` });
    this.element = h('div', { class: 'file' }, h('div', { class: 'file-head' }, icon('file'), h('span', {}, name), h('span', { class: 'from' }, size ? bytes(size) : '')), this.bar, this.state, this.actions);
  }

  showCancel(onCancel: () => void): void {
    this.actions.replaceChildren(h('button', { class: 'button', type: 'button', 'aria-label': `Cancel ${this.name}`, onclick: onCancel }, 'Cancel'));
  }

  finish(text: string): void {
    this.bar.remove();
    this.actions.replaceChildren();
    this.state.textContent = text;
  }

  offer(url: string): void {
    this.finish('');
    this.actions.append(h('a', { class: 'button', href: url, download: this.name, 'aria-label': `Save ${this.name}` }, icon('download'), 'Save'));
  }
}
