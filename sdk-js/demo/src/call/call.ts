/** A call: it joins the room, and connects what the room says with what people see and press. */

import { ConnectionState, Room, RoomEvent, TrackSource, type MediaDeviceError, type Participant, type RemoteTrack } from '@madang/client';

import { DevicePicker } from '../devices';
import { roomLink, saveTicket } from '../entry';
import type { Admission } from '../lobby';
import { savePrefs } from '../prefs';
import { openDialog } from '../ui/dialog';
import { announce, h } from '../ui/dom';
import { icon } from '../ui/icon';
import { Notices } from '../ui/notices';
import { explainTrouble, REASONS, type Device } from '../words';
import { Chat } from './chat';
import { canRecord, Recorder } from './recorder';
import { Shortcuts } from './shortcuts';
import { SCREENS, Stage } from './stage';
import { showStats, StatsReader } from './stats';
import { buildMenu, ToggleButton, type MenuEntry } from './toolbar';

/** One call, from `join` to the end. */
export class Call {
  readonly element: HTMLElement;
  readonly room: Room;
  private connection: RTCPeerConnection | undefined;
  private readonly stage: Stage;
  private readonly chat: Chat;
  private readonly shortcuts: Shortcuts;
  private readonly sounds = h('div', { hidden: true });
  private readonly meta = h('span', { class: 'meta' });
  private readonly recordingSign = h('span', { class: 'meta recording', hidden: true }, '● Recording');
  private readonly banner = h('div', { class: 'banner', role: 'status', hidden: true });
  private readonly notices = new Notices();
  private readonly attempt = new AbortController();
  private readonly dropSign = h('div', { class: 'drop', hidden: true }, 'Drop to send to everybody');
  private readonly buttons: Record<'microphone' | 'camera' | 'screen' | 'hand' | 'chat', ToggleButton>;
  private readonly startedAt = Date.now();
  private readonly clock = setInterval(() => this.showMeta(), 1000);
  private recorder: Recorder | undefined;
  private wakeLock: WakeLockSentinel | undefined;
  private facing: 'user' | 'environment' = 'user';
  private leaving = false;
  private syncQueued = false;

  constructor(
    private readonly admission: Admission,
    private readonly onEnd: (message: string) => void,
  ) {
    const { prefs } = admission;
    this.room = new Room({
      adaptiveStream: true,
      dynacast: true,
      slots: { screens: SCREENS },
      ...(prefs.cameraId ? { videoCaptureDefaults: { deviceId: { ideal: prefs.cameraId } } } : {}),
      ...(prefs.microphoneId ? { audioCaptureDefaults: { deviceId: { ideal: prefs.microphoneId } } } : {}),
      peerConnectionFactory: (configuration) => (this.connection = new RTCPeerConnection(configuration)),
    });
    this.stage = new Stage(this.room, () => undefined);
    this.buttons = {
      microphone: new ToggleButton('Microphone', { on: 'mic', off: 'micOff' }, { off: 'off' }, 'm', () => void this.toggleMicrophone()),
      camera: new ToggleButton('Camera', { on: 'camera', off: 'cameraOff' }, { off: 'off' }, 'v', () => void this.toggleCamera()),
      screen: new ToggleButton('Share screen', { on: 'screen', off: 'screen' }, { on: 'on' }, 's', () => void this.toggleScreen()),
      hand: new ToggleButton('Raise hand', { on: 'hand', off: 'hand' }, { on: 'on' }, 'h', () => void this.toggleHand()),
      chat: new ToggleButton('Chat', { on: 'chat', off: 'chat' }, { on: 'on' }, 'c', () => this.toggleChat()),
    };
    this.chat = new Chat(this.room, (count) => this.showUnread(count), () => this.toggleChat());
    this.shortcuts = new Shortcuts([
      { key: 'm', text: 'Microphone on or off', run: () => void this.toggleMicrophone() },
      { key: 'v', text: 'Camera on or off', run: () => void this.toggleCamera() },
      { key: 's', text: 'Share your screen', run: () => void this.toggleScreen() },
      { key: 'h', text: 'Raise or lower your hand', run: () => void this.toggleHand() },
      { key: 'c', text: 'Open or close the chat', run: () => this.toggleChat() },
      { key: 'g', text: 'Grid or speaker view', run: () => this.stage.toggleView() },
      { key: 'w', text: 'Why pictures are as they are', run: () => this.toggleExplain() },
      { key: 'i', text: 'Statistics', run: () => this.showStats() },
      { key: '?', text: 'These keys', run: () => this.shortcuts.show() },
    ]);
    this.stage.explain(prefs.explain);
    this.element = this.build();
    this.listen();
  }

  /** Enters. A device that does not open does not keep anybody out. */
  async join(): Promise<void> {
    const { url, token, prefs } = this.admission;
    this.showBanner();
    try {
      await this.room.connect(url, token, { signal: this.attempt.signal });
    } catch (error) {
      this.close();
      throw error;
    }
    this.showBanner();
    this.showPermissions();
    this.sync();
    this.element.querySelector('h1')?.focus();
    announce(`You are in the room ${this.admission.room}`);
    void this.keepAwake();
    if (prefs.microphone && this.may('microphone')) await this.use('microphone', () => this.room.localParticipant.setMicrophoneEnabled(true));
    if (prefs.camera && this.may('camera')) await this.use('camera', () => this.room.localParticipant.setCameraEnabled(true));
    if (prefs.speakerId) await this.room.switchActiveDevice('audiooutput', prefs.speakerId).catch(() => undefined);
  }

  private build(): HTMLElement {
    const leave = h('button', { class: 'button leave', type: 'button', 'aria-label': 'Leave the call', onclick: () => void this.leave() }, icon('leave'), h('span', { class: 'leave-word' }, 'Leave'));
    const { microphone, camera, screen, hand, chat } = this.buttons;
    const toolbar = h('section', { class: 'bar', 'aria-label': 'Call controls' }, microphone.element, camera.element, screen.element, hand.element, chat.element, ...buildMenu(this.menuEntries()), leave);
    const head = h('header', { class: 'call-head' }, h('h1', { tabindex: -1 }, this.admission.room), this.meta, this.recordingSign);
    const root = h('div', { class: 'call' }, head, this.stage.element, this.banner, this.notices.element, this.chat.element, toolbar, this.sounds, this.dropSign);
    root.addEventListener('dragover', (event) => this.onDrag(event));
    root.addEventListener('dragleave', (event) => {
      if (event.relatedTarget === null) this.dropSign.hidden = true;
    });
    root.addEventListener('drop', (event) => this.onDrop(event));
    return root;
  }

  private menuEntries(): MenuEntry[] {
    const entries: MenuEntry[] = [
      { label: 'Grid or speaker view', icon: 'speaker', run: () => this.stage.toggleView() },
      { label: 'Why pictures are as they are', icon: 'help', pressed: () => this.admission.prefs.explain, run: () => this.toggleExplain() },
      { label: 'Statistics', icon: 'stats', run: () => this.showStats() },
      { label: 'Devices', icon: 'settings', run: () => void this.showDevices() },
      { label: 'Switch front and back camera', icon: 'flip', run: () => void this.flipCamera() },
      { label: 'Copy the room’s link', icon: 'link', run: () => void this.copyLink() },
      { label: 'Keyboard', icon: 'keyboard', run: () => this.shortcuts.show() },
    ];
    if (canRecord()) entries.splice(3, 0, { label: 'Record on this device', icon: 'record', pressed: () => Boolean(this.recorder), run: () => void this.toggleRecording() });
    return entries;
  }

  private listen(): void {
    const { room } = this;
    const sync = (): void => this.sync();
    for (const event of [RoomEvent.TrackPublished, RoomEvent.TrackUnpublished, RoomEvent.TrackMuted, RoomEvent.TrackUnmuted, RoomEvent.LocalTrackPublished, RoomEvent.LocalTrackUnpublished, RoomEvent.ParticipantNameChanged, RoomEvent.ConnectionQualityChanged, RoomEvent.TrackStreamStateChanged] as const) {
      room.on(event, sync);
    }
    room.on(RoomEvent.TrackSubscribed, (track) => this.hear(track));
    room.on(RoomEvent.TrackUnsubscribed, (track) => this.unhear(track));
    room.on(RoomEvent.TrackSubscriptionFailed, (publication, who) => this.stage.setUnavailable(who, publication));
    room.on(RoomEvent.ParticipantConnected, (who) => this.cameOrWent(who, 'came in'));
    room.on(RoomEvent.ParticipantDisconnected, (who) => this.cameOrWent(who, 'left'));
    room.on(RoomEvent.ParticipantAttributesChanged, (changed, who) => this.onAttributes(changed, who));
    room.on(RoomEvent.ActiveSpeakersChanged, (speakers) => this.stage.setSpeakers(speakers));
    room.on(RoomEvent.ConnectionStateChanged, () => this.showBanner());
    room.on(RoomEvent.AudioPlaybackStatusChanged, () => this.showBanner());
    room.on(RoomEvent.Reconnected, () => this.notices.show('Connected again.'));
    room.on(RoomEvent.MediaDevicesError, (error) => this.deviceFailed(error));
    room.on(RoomEvent.TokenRefreshed, (token) => this.admission.hasTicket && saveTicket({ room: this.admission.room, token }));
    room.on(RoomEvent.ParticipantPermissionsChanged, (_previous, who) => who.isLocal && this.showPermissions());
    room.on(RoomEvent.Disconnected, (reason) => this.end(REASONS[reason] ?? ''));
    document.addEventListener('visibilitychange', this.keepAwake);
  }

  /** Many events come at once; one pass a frame is enough. Hidden tabs have no frames, so a timer does it. */
  private sync(): void {
    if (this.syncQueued) return;
    this.syncQueued = true;
    setTimeout(() => {
      this.syncQueued = false;
      if (this.leaving) return;
      const me = this.room.localParticipant;
      this.stage.sync();
      this.buttons.microphone.set(me.isMicrophoneEnabled);
      this.buttons.camera.set(me.isCameraEnabled);
      this.buttons.screen.set(me.isScreenShareEnabled);
      this.buttons.hand.set(me.attributes['hand'] === 'up');
      this.showMeta();
    }, 0);
  }

  private may(source: TrackSource): boolean {
    const { canPublish, canPublishSources } = this.room.localParticipant.permissions;
    return canPublish && (canPublishSources.length === 0 || canPublishSources.includes(source));
  }

  /** What the token does not allow is not offered. */
  private showPermissions(): void {
    const { canPublishData, canUpdateOwnMetadata } = this.room.localParticipant.permissions;
    const canShare = Boolean(navigator.mediaDevices && 'getDisplayMedia' in navigator.mediaDevices);
    this.buttons.microphone.element.hidden = !this.may('microphone');
    this.buttons.camera.element.hidden = !this.may('camera');
    this.buttons.screen.element.hidden = !this.may('screen_share') || !canShare;
    this.buttons.hand.element.hidden = !canUpdateOwnMetadata;
    this.buttons.chat.element.hidden = !canPublishData;
  }

  private hear(track: RemoteTrack): void {
    if (track.kind === 'audio') this.sounds.append(track.attach());
    this.sync();
  }

  private unhear(track: RemoteTrack): void {
    if (track.kind === 'audio') track.detach().forEach((element) => element.remove());
    this.sync();
  }

  private cameOrWent(who: Participant, what: string): void {
    // After a new join everybody comes in again, which is no news.
    if (this.room.state === ConnectionState.Connected) this.notices.show(`${who.name || who.identity} ${what}.`);
    this.sync();
  }

  private onAttributes(changed: Record<string, string>, who: Participant): void {
    if (changed['hand'] === 'up' && !who.isLocal) this.notices.show(`${who.name || who.identity} raised a hand.`);
    this.sync();
  }

  private showMeta(): void {
    const seconds = Math.floor((Date.now() - this.startedAt) / 1000);
    const people = this.room.remoteParticipants.size + 1;
    const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
    this.meta.textContent = `${people === 1 ? 'Only you' : `${people} people`} · ${time}`;
  }

  private showBanner(): void {
    const { state, canPlaybackAudio } = this.room;
    const troubled = state === ConnectionState.SignalReconnecting || state === ConnectionState.Reconnecting;
    const connecting = state === ConnectionState.Connecting || state === ConnectionState.Disconnected;
    this.banner.hidden = !connecting && !troubled && canPlaybackAudio;
    this.element.classList.toggle('connecting', connecting);
    if (connecting) {
      const cancel = h('button', { class: 'button', type: 'button', onclick: () => this.attempt.abort() }, 'Cancel');
      this.banner.replaceChildren('Entering the room…', cancel);
    } else if (troubled) {
      const text = state === ConnectionState.Reconnecting ? 'The connection was lost. Trying to bring it back…' : 'Signalling was lost. Picture and sound go on while it comes back…';
      this.banner.replaceChildren(text);
    } else if (!canPlaybackAudio) {
      const start = h('button', { class: 'button primary', type: 'button', onclick: () => void this.room.startAudio().then(() => this.showBanner()) }, 'Turn sound on');
      this.banner.replaceChildren('The browser waits for a click before it plays sound.', start);
    }
  }

  private showUnread(count: number): void {
    this.buttons.chat.set(this.chat.isOpen, count > 0 ? `Chat, ${count} unread` : 'Chat');
    this.buttons.chat.setBadge(count);
  }

  private async toggleMicrophone(): Promise<void> {
    const on = !this.room.localParticipant.isMicrophoneEnabled;
    await this.use('microphone', () => this.room.localParticipant.setMicrophoneEnabled(on));
    announce(`Microphone ${this.room.localParticipant.isMicrophoneEnabled ? 'on' : 'off'}`);
  }

  private async toggleCamera(): Promise<void> {
    const on = !this.room.localParticipant.isCameraEnabled;
    await this.use('camera', () => this.room.localParticipant.setCameraEnabled(on));
    announce(`Camera ${this.room.localParticipant.isCameraEnabled ? 'on' : 'off'}`);
  }

  private async toggleScreen(): Promise<void> {
    const on = !this.room.localParticipant.isScreenShareEnabled;
    await this.use('screen', () => this.room.localParticipant.setScreenShareEnabled(on));
    announce(this.room.localParticipant.isScreenShareEnabled ? 'Your screen is shared' : 'Your screen is not shared');
  }

  private async toggleHand(): Promise<void> {
    const up = this.room.localParticipant.attributes['hand'] !== 'up';
    // An empty value removes the attribute.
    await this.room.localParticipant.setAttributes({ hand: up ? 'up' : '' }).catch(() => undefined);
    announce(up ? 'Hand raised' : 'Hand lowered');
    this.sync();
  }

  private toggleChat(): void {
    const open = !this.chat.isOpen;
    this.chat.setOpen(open);
    this.buttons.chat.set(open, 'Chat');
    if (!open) this.buttons.chat.element.focus();
  }

  /** Runs something with a device; a refusal is explained, and the call goes on. */
  private async use(device: Device, action: () => Promise<unknown>): Promise<void> {
    const button = this.buttons[device === 'speaker' ? 'microphone' : device];
    if (button.element.getAttribute('aria-busy') === 'true') return;
    button.setBusy(true);
    try {
      await action();
    } catch (error) {
      if (!this.leaving) this.explain(device, error, () => void this.use(device, action));
    } finally {
      button.setBusy(false);
      this.sync();
    }
  }

  private explain(device: Device, error: unknown, again: () => void): void {
    const trouble = explainTrouble(device, error);
    if (!trouble) return;
    const action = trouble.retry ? { label: 'Try again', run: again } : undefined;
    this.notices.show(trouble.text, { title: trouble.title, action, urgent: true });
  }

  /** A device went away in mid-call. What failed when it was asked for is explained where it was asked. */
  private deviceFailed(error: MediaDeviceError): void {
    if (error.failure !== 'ended') return;
    const isCamera = error.kind === 'videoinput';
    const me = this.room.localParticipant;
    this.explain(isCamera ? 'camera' : 'microphone', error, () => void this.use(isCamera ? 'camera' : 'microphone', () => (isCamera ? me.setCameraEnabled(true) : me.setMicrophoneEnabled(true))));
  }

  private toggleExplain(): void {
    const explain = !this.admission.prefs.explain;
    this.admission.prefs.explain = explain;
    savePrefs({ explain });
    this.stage.explain(explain);
    announce(explain ? 'Every picture says why it is as it is' : 'Pictures without words');
  }

  private showStats(): void {
    void showStats(new StatsReader(this.room, () => this.connection), this.admission.room);
  }

  private async showDevices(): Promise<void> {
    const { prefs } = this.admission;
    const pickers = [
      new DevicePicker('videoinput', prefs.cameraId, (id) => this.switchDevice('videoinput', { cameraId: id }, id)),
      new DevicePicker('audioinput', prefs.microphoneId, (id) => this.switchDevice('audioinput', { microphoneId: id }, id)),
      new DevicePicker('audiooutput', prefs.speakerId, (id) => this.switchDevice('audiooutput', { speakerId: id }, id)),
    ];
    await Promise.all(pickers.map((picker) => picker.refresh()));
    openDialog('Devices', h('div', { class: 'dialog-body' }, ...pickers.map((picker) => picker.element)));
  }

  private switchDevice(kind: MediaDeviceKind, changed: Partial<Admission['prefs']>, id: string): void {
    Object.assign(this.admission.prefs, changed);
    savePrefs(changed);
    const device = kind === 'videoinput' ? 'camera' : kind === 'audioinput' ? 'microphone' : 'speaker';
    void this.use(device, () => this.room.switchActiveDevice(kind, id));
  }

  private async flipCamera(): Promise<void> {
    this.facing = this.facing === 'user' ? 'environment' : 'user';
    await this.use('camera', async () => {
      await this.room.localParticipant.setCameraEnabled(false);
      await this.room.localParticipant.setCameraEnabled(true, { facingMode: this.facing });
    });
  }

  private async copyLink(): Promise<void> {
    const { room, url, hasTicket } = this.admission;
    const { href, complete } = roomLink(room, url, hasTicket, location);
    const warning = 'Whoever opens it needs a token of their own: your host makes it. Yours is not in the link, because two people with one token push each other out.';
    try {
      await navigator.clipboard.writeText(href);
      if (complete) this.notices.show('Link copied.');
      else this.notices.show(warning, { title: 'Link copied' });
    } catch {
      openDialog('The room’s link', h('div', {}, h('p', {}, href), complete ? null : h('p', {}, warning)));
    }
  }

  private async toggleRecording(): Promise<void> {
    if (this.recorder) {
      const recorder = this.recorder;
      this.recorder = undefined;
      this.recordingSign.hidden = true;
      await recorder.stop(`madang-${this.admission.room}`);
      this.notices.show('Recording saved.');
      return;
    }
    this.recorder = new Recorder(this.stage, () => this.audioTracks());
    this.recordingSign.hidden = false;
    this.notices.show('Recording on this device.');
  }

  private audioTracks(): MediaStreamTrack[] {
    const everybody: Participant[] = [...this.room.remoteParticipants.values(), this.room.localParticipant];
    return everybody
      .flatMap((one) => [one.getTrackPublication(TrackSource.Microphone), one.getTrackPublication(TrackSource.ScreenShareAudio)])
      .flatMap((publication) => (publication?.track && !publication.isMuted ? [publication.track.mediaStreamTrack] : []));
  }

  private onDrag(event: DragEvent): void {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    this.dropSign.hidden = false;
  }

  private onDrop(event: DragEvent): void {
    event.preventDefault();
    this.dropSign.hidden = true;
    const files = event.dataTransfer?.files;
    if (!files?.length) return;
    if (!this.chat.isOpen) this.toggleChat();
    this.chat.sendFiles(files);
  }

  /** Phones dim the screen otherwise. The lock ends whenever the page is hidden. */
  private readonly keepAwake = async (): Promise<void> => {
    if (document.visibilityState !== 'visible' || this.leaving) return;
    this.wakeLock = await navigator.wakeLock?.request('screen').catch(() => undefined);
  };

  private async leave(): Promise<void> {
    await this.room.disconnect();
    this.end('');
  }

  private end(message: string): void {
    if (this.leaving) return;
    if (this.recorder) void this.toggleRecording();
    this.close();
    this.onEnd(message);
  }

  private close(): void {
    this.leaving = true;
    this.attempt.abort();
    clearInterval(this.clock);
    document.removeEventListener('visibilitychange', this.keepAwake);
    void this.wakeLock?.release().catch(() => undefined);
    this.shortcuts.close();
    this.chat.close();
    this.stage.close();
    document.querySelectorAll('dialog').forEach((dialog) => dialog.close());
    this.element.remove();
  }
}
