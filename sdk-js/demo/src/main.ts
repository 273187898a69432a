/** The demo: a lobby, then a call, then the lobby again. */

import { Call } from './call/call';
import { explainConnectError } from './words';
import { Lobby, type Admission } from './lobby';
import './style/base.css';
import './style/lobby.css';
import './style/call.css';

import type { Room } from '@madang/client';

declare global {
  interface Window {
    /** For end-to-end tests and for curious people at the console. */
    madang?: { room: Room | undefined };
  }
}

const app = document.getElementById('app');
if (!app) throw new Error('the page has no #app');

function show(view: 'lobby' | 'call', element: HTMLElement, title: string): void {
  document.documentElement.dataset['view'] = view;
  document.querySelector('meta[name="theme-color"]')?.setAttribute('content', view === 'call' ? '#191613' : '#f5eee1');
  document.title = title;
  app?.replaceChildren(element);
  // The focus does not fall to the page's start, where a keyboard or a screen reader would have to search for the view.
  element.querySelector<HTMLElement>('h1')?.focus();
}

function makeLobby(message: string): Lobby {
  window.madang = { room: undefined };
  const lobby = new Lobby((admission) => void enterCall(admission, lobby));
  if (message) lobby.showError(message);
  return lobby;
}

function enterLobby(message = ''): void {
  show('lobby', makeLobby(message).element, 'Madang');
}

async function enterCall(admission: Admission, lobby: Lobby): Promise<void> {
  // The lobby's devices are let go first: some systems give a camera to one user at a time.
  lobby.close();
  const call = new Call(admission, enterLobby);
  window.madang = { room: call.room };
  show('call', call.element, `${admission.room} · Madang`);
  const url = new URL(location.href);
  url.searchParams.set('room', admission.room);
  url.searchParams.delete('token');
  url.hash = '';
  history.replaceState(null, '', url);
  try {
    await call.join();
  } catch (error) {
    enterLobby(explainConnectError(error));
  }
}

// On arrival the focus is left to the browser.
document.title = 'Madang';
document.documentElement.dataset['view'] = 'lobby';
app.replaceChildren(makeLobby('').element);
