/** The buttons at the foot of the call, and the menu for what is used less. */

import { h } from '../ui/dom';
import { icon, type IconName } from '../ui/icon';

/** A button that is on or off; its name stays, `aria-pressed` changes. */
export class ToggleButton {
  readonly element: HTMLButtonElement;

  constructor(
    private readonly label: string,
    private readonly icons: { on: IconName; off: IconName },
    private readonly marks: { on?: string; off?: string },
    key: string,
    onClick: () => void,
  ) {
    this.element = h('button', { class: 'button square', type: 'button', 'aria-label': label, title: `${label} (${key})`, 'aria-keyshortcuts': key, onclick: onClick });
    this.set(false);
  }

  /** Shows a state; `text` replaces the name, where a state needs words. */
  set(on: boolean, text = this.label): void {
    const { element } = this;
    element.setAttribute('aria-pressed', String(on));
    element.setAttribute('aria-label', text);
    const badge = element.querySelector('.badge');
    element.replaceChildren(icon(on ? this.icons.on : this.icons.off), ...(badge ? [badge] : []));
    if (this.marks.on) element.classList.toggle(this.marks.on, on);
    if (this.marks.off) element.classList.toggle(this.marks.off, !on);
  }

  /** Shows a count at the corner; 0 hides it. */
  setBadge(count: number): void {
    this.element.querySelector('.badge')?.remove();
    if (count > 0) this.element.append(h('span', { class: 'badge', 'aria-hidden': 'true' }, count > 99 ? '99+' : count));
  }

  /** While something is under way, a second click must not start it again. */
  setBusy(busy: boolean): void {
    this.element.setAttribute('aria-busy', String(busy));
  }
}

/** An entry of the menu. */
export interface MenuEntry {
  label: string;
  icon: IconName;
  /** Present where the entry is on or off. */
  pressed?: () => boolean;
  run: () => void;
}

/** A button with a popover of further buttons. */
export function buildMenu(entries: MenuEntry[]): HTMLElement[] {
  const buttons = entries.map((entry) => {
    const button = h('button', { class: 'button plain', type: 'button' }, icon(entry.icon), entry.label);
    button.addEventListener('click', () => {
      menu.hidePopover();
      entry.run();
    });
    return { button, entry };
  });
  const menu = h('div', { class: 'menu', id: 'menu', popover: 'auto', role: 'group', 'aria-label': 'More' }, ...buttons.map(({ button }) => button));
  const opener = h('button', { class: 'button square', type: 'button', 'aria-label': 'More', title: 'More', 'aria-haspopup': 'true', 'aria-expanded': 'false', popovertarget: 'menu' }, icon('more'));
  menu.addEventListener('toggle', (event) => {
    const open = (event as ToggleEvent).newState === 'open';
    opener.setAttribute('aria-expanded', String(open));
    if (!open) return;
    for (const { button, entry } of buttons) {
      if (entry.pressed) button.setAttribute('aria-pressed', String(entry.pressed()));
    }
    buttons[0]?.button.focus();
  });
  menu.addEventListener('keydown', (event) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step === 0) return;
    event.preventDefault();
    const index = buttons.findIndex(({ button }) => button === document.activeElement);
    buttons[(index + step + buttons.length) % buttons.length]?.button.focus();
  });
  return [opener, menu];
}
