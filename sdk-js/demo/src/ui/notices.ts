/** Short notices that everybody sees, and screen readers say: what happened, and where it helps a button. */

import { announce, h } from './dom';
import { icon } from './icon';

/** Milliseconds that a notice without a button stays. */
const STAY = 5000;
/** Notices at once; the oldest goes first. */
const MAX_SHOWN = 3;

/** What a notice offers to do. */
export interface NoticeAction {
  label: string;
  run: () => void;
}

/** The notices of one view. */
export class Notices {
  readonly element = h('section', { class: 'notices', 'aria-label': 'Notices' });

  /** Shows one. With a title or an action it stays until it is closed. A notice of the same title takes the place of the one before. */
  show(text: string, { title, action, urgent = false }: { title?: string; action?: NoticeAction | undefined; urgent?: boolean } = {}): void {
    if (title) this.dismiss(title);
    const stays = Boolean(title ?? action);
    const close = (): void => item.remove();
    const act = action && h('button', { class: 'button', type: 'button', onclick: () => (close(), action.run()) }, action.label);
    const item = h(
      'div',
      { class: 'notice card', 'data-title': title },
      h('div', {}, title ? h('strong', {}, title) : null, h('p', {}, text)),
      act,
      stays ? h('button', { class: 'button plain square', type: 'button', 'aria-label': `Close: ${title ?? text}`, onclick: close }, icon('close')) : null,
    );
    this.element.append(item);
    while (this.element.children.length > MAX_SHOWN) this.element.firstElementChild?.remove();
    if (!stays) setTimeout(close, STAY);
    announce(title ? `${title}. ${text}` : text, urgent ? 'urgent' : 'polite');
  }

  /** Takes away what does not hold any more. */
  dismiss(title: string): void {
    for (const item of [...this.element.children]) if (item.getAttribute('data-title') === title) item.remove();
  }
}
