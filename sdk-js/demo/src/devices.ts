/** Cameras, microphones and speakers: opening and naming them. */

import { h } from './ui/dom';

/** The kinds of `enumerateDevices`. */
export type DeviceKind = 'audioinput' | 'videoinput' | 'audiooutput';

const LABELS: Record<DeviceKind, string> = { audioinput: 'Microphone', videoinput: 'Camera', audiooutput: 'Speaker' };

/** Constraints for a device, whose id may be forgotten by now: then any of its kind. */
export function constraintsFor(id: string, video: boolean): MediaTrackConstraints | true {
  const base: MediaTrackConstraints = video ? { width: { ideal: 1280 }, height: { ideal: 720 } } : {};
  if (id) base.deviceId = { ideal: id };
  return Object.keys(base).length > 0 ? base : true;
}

/** A labelled picker of one kind of device; it hides itself where the browser lists none. */
export class DevicePicker {
  readonly element: HTMLElement;
  private readonly select: HTMLSelectElement;

  constructor(
    private readonly kind: DeviceKind,
    private chosen: string,
    onChoice: (id: string) => void,
  ) {
    this.select = h('select', { class: 'input', name: kind });
    this.select.addEventListener('change', () => {
      this.chosen = this.select.value;
      onChoice(this.chosen);
    });
    this.element = h('label', { class: 'field', hidden: true }, h('span', {}, LABELS[kind]), this.select);
  }

  /** Lists the devices anew; labels are there once a permission was given. */
  async refresh(): Promise<void> {
    const all = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    const devices = all.filter((device) => device.kind === this.kind && device.deviceId);
    this.element.hidden = devices.length === 0;
    this.select.replaceChildren(
      ...devices.map((device, index) =>
        h('option', { value: device.deviceId }, device.label || `${LABELS[this.kind]} ${index + 1}`),
      ),
    );
    if (devices.some((device) => device.deviceId === this.chosen)) this.select.value = this.chosen;
  }
}
