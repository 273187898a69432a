/** Modal dialogs on `<dialog>`: the browser traps the focus and returns it to the opener. */

import { h } from './dom';
import { icon } from './icon';

let count = 0;

/** Opens a modal dialog; resolves when it is closed, by its button, Escape or a click outside. */
export function openDialog(title: string, body: Node, options: { wide?: boolean } = {}): { closed: Promise<void>; close(): void } {
  const id = `dialog-${++count}`;
  const opener = document.activeElement;
  const dialog = h(
    'dialog',
    { 'aria-labelledby': id, class: options.wide ? 'wide' : '' },
    h(
      'div',
      { class: 'dialog-head' },
      h('h2', { id }, title),
      h('button', { class: 'button plain square', type: 'button', 'aria-label': 'Close', onclick: () => dialog.close() }, icon('close')),
    ),
    h('div', { class: 'dialog-body' }, body),
  );
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  const closed = new Promise<void>((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
      resolve();
    });
  });
  document.body.appendChild(dialog);
  dialog.showModal();
  return { closed, close: () => dialog.close() };
}

/** Asks something; true: the person agreed. */
export async function askDialog(title: string, text: string, agree: string): Promise<boolean> {
  let agreed = false;
  const yes = h('button', { class: 'button primary', type: 'button' }, agree);
  const no = h('button', { class: 'button', type: 'button' }, 'Stay here');
  const dialog = openDialog(title, h('div', { class: 'dialog-body' }, h('p', {}, text), h('div', { class: 'row' }, no, yes)));
  yes.addEventListener('click', () => {
    agreed = true;
    dialog.close();
  });
  no.addEventListener('click', () => dialog.close());
  no.focus();
  await dialog.closed;
  return agreed;
}
