/** The demo: a lobby, then a call, then the lobby again. */

import { Call, explainConnectError } from './call/call';
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
}

function enterLobby(message = ''): void {
  window.madang = { room: undefined };
  const lobby = new Lobby((admission) => void enterCall(admission, lobby));
  if (message) lobby.showError(message);
  show('lobby', lobby.element, 'Madang');
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

enterLobby();
