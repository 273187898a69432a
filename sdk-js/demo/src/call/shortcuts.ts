/** Single-key shortcuts: never while somebody writes, never with a modifier, and they can be switched off. */

import { openDialog } from '../ui/dialog';
import { h } from '../ui/dom';

const KEY = 'madang.shortcuts';

/** A key with what it does. */
export interface Shortcut {
  key: string;
  text: string;
  run: () => void;
}

/** Whether keys typed here belong to something else. */
function takesKeys(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.closest('input, textarea, select, dialog') !== null;
}

/** The shortcuts of the call. */
export class Shortcuts {
  private enabled = readEnabled();

  constructor(private readonly shortcuts: Shortcut[]) {
    document.addEventListener('keydown', this.onKey);
  }

  /** Lists them. */
  show(): void {
    const box = h('input', { type: 'checkbox', checked: this.enabled });
    box.addEventListener('change', () => {
      this.enabled = box.checked;
      try {
        localStorage.setItem(KEY, String(box.checked));
      } catch {
        // Then the choice lasts for this call.
      }
    });
    const list = this.shortcuts.flatMap(({ key, text }) => [h('dt', {}, h('kbd', {}, key.toUpperCase())), h('dd', {}, text)]);
    const choice = h('label', { class: 'row tall' }, box, 'Use these keys');
    openDialog('Keyboard', h('div', {}, h('dl', { class: 'keys' }, ...list), choice));
  }

  /** Ends them. */
  close(): void {
    document.removeEventListener('keydown', this.onKey);
  }

  private readonly onKey = (event: KeyboardEvent): void => {
    if (!this.enabled || event.ctrlKey || event.metaKey || event.altKey || event.repeat || takesKeys(event.target)) return;
    const shortcut = this.shortcuts.find(({ key }) => key === event.key.toLowerCase());
    if (!shortcut) return;
    event.preventDefault();
    shortcut.run();
  };
}

function readEnabled(): boolean {
  try {
    return localStorage.getItem(KEY) !== 'false';
  } catch {
    return true;
  }
}
