/** What people are told when something goes wrong: what happened, what helps, and whether to try again. */

import { ConnectionError, DisconnectReason, MadangError, MediaDeviceError } from '@madang/client';

/** Why the call is over; empty: because one wanted it. */
export const REASONS: Record<string, string> = {
  [DisconnectReason.DuplicateIdentity]: 'You entered this room from somewhere else, so this place was given up.',
  [DisconnectReason.RoomClosed]: 'The room was closed.',
  [DisconnectReason.ParticipantRemoved]: 'You were removed from the room.',
  [DisconnectReason.ServerShutdown]: 'The server stopped and did not come back. Try again in a moment.',
  [DisconnectReason.MediaRestarted]: 'A part of the server failed, and the room could not be entered again. Try again in a moment.',
  [DisconnectReason.SignalLost]: 'The connection was lost and did not come back. Check the network and try again.',
  [DisconnectReason.MediaFailed]: 'Picture and sound could not get through to the server. A firewall may be in the way.',
  [DisconnectReason.JoinFailed]: 'The room could not be entered again: the token has expired, or the room does not let you in any more.',
  [DisconnectReason.ProtocolError]: 'This page and the server did not understand each other. Reload the page.',
};

/** By the server's code, where it says more than the kind of failure. */
const CODES: Record<string, string> = {
  token_expired: 'The token has expired. Ask your host for a new link.',
  token_not_yet_valid: 'The token is not valid yet: the call has not begun, or a clock is wrong. Try again later.',
  token_unknown_key: 'The token is of another server. Ask your host for a link to this one.',
  token_invalid: 'The token cannot be read: a part of it may be missing. Copy the whole link again.',
  token_missing: 'This server wants a token. Ask your host for a link.',
  permission_denied: 'The token is valid, but does not let you enter a room. Ask your host for another.',
  wrong_room: 'The token opens another room than this one.',
  origin_not_allowed: 'The server takes no calls from pages at this address. Its operator can allow it (http.allowed_origins).',
  room_full: 'The room is full. Try again when somebody has left.',
  room_not_found: 'There is no such room yet. Ask your host to open it, and try again.',
  shutting_down: 'The server is being restarted. Try again in a moment.',
  server_busy: 'The server is busy. Try again in a moment.',
  rate_limited: 'The server had too many requests from here. Try again in a moment.',
  not_madang: 'Something answers at that address, but it is not the server of this call. Check the address.',
};

/** Why an entry failed. */
export function explainConnectError(error: unknown): string {
  if (!(error instanceof ConnectionError)) return `Entering failed: ${error instanceof Error ? error.message : String(error)}`;
  const known = CODES[error.code];
  if (known) return known;
  switch (error.reason) {
    case 'cancelled':
      return '';
    case 'notAllowed':
      return 'The token does not open this room. Ask your host for another link.';
    case 'serverUnreachable':
      return 'The server does not answer. Check the connection and try again.';
    case 'timeout':
      return 'The server did not answer in time. Check the connection and try again.';
    case 'webSocketBlocked':
      return 'The server answers, but a proxy before it lets no WebSocket through. Its operator has to pass the Upgrade header.';
    case 'invalidUrl':
      return 'The link names no address of a server. Ask your host for another.';
    case 'unsupported':
      return 'This browser cannot make calls. Use a current Firefox, Chrome, Edge or Safari.';
    case 'mediaFailed':
      return 'The server was reached, but picture and sound cannot get through. A firewall may be in the way.';
    default:
      return `Entering failed: ${error.message}`;
  }
}

/** A device or a screen, as people call it. */
export type Device = 'microphone' | 'camera' | 'screen' | 'speaker';

/** A failure in words: a heading, what helps, and whether the same may work now. */
export interface Trouble {
  title: string;
  text: string;
  retry: boolean;
}

/** Why a device does not work. `undefined`: the person chose so, and needs no word. */
export function explainTrouble(device: Device, error: unknown): Trouble | undefined {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const name = cause instanceof Error ? cause.name : '';
  const failure = error instanceof MediaDeviceError ? error.failure : (FAILURES[name] ?? 'other');
  // Closing the browser's picker of screens is a choice.
  if (device === 'screen' && failure === 'permissionDenied') return undefined;
  if (error instanceof MadangError && error.code === 'permission_denied') {
    return { title: `You may not send the ${device}`, text: `The token of this call does not allow it. Ask your host for another link.`, retry: false };
  }
  if (!window.isSecureContext) {
    return { title: `No ${device} on this page`, text: `Browsers give the ${device} only to pages served over HTTPS or from localhost. Open this page by https://.`, retry: false };
  }
  switch (failure) {
    case 'permissionDenied':
      return { title: `The ${device} is blocked`, text: `This page may not use the ${device}. Click the lock or camera sign beside the address, allow it, and try again. The call goes on without it.`, retry: true };
    case 'notFound':
    case 'constraintsUnmet':
      return { title: `No ${device} found`, text: `Plug one in and try again. The call goes on without it.`, retry: true };
    case 'inUse':
      return { title: `The ${device} is in use`, text: `Another program uses the ${device}. Close that program and try again. The call goes on without it.`, retry: true };
    case 'ended':
      return { title: `The ${device} was unplugged`, text: `Others do not get it any more. Plug it in again, or choose another under Devices, and try again.`, retry: true };
    case 'unsupported':
      return { title: `No ${device} here`, text: `This browser cannot use the ${device}. The call goes on without it.`, retry: false };
    default:
      return { title: `The ${device} did not start`, text: `${cause instanceof Error && cause.message ? `${cause.message}. ` : ''}The call goes on without it.`, retry: true };
  }
}

/** What browsers throw, for devices that were opened without the SDK. */
const FAILURES: Record<string, string> = {
  NotAllowedError: 'permissionDenied',
  SecurityError: 'permissionDenied',
  NotFoundError: 'notFound',
  OverconstrainedError: 'constraintsUnmet',
  NotReadableError: 'inUse',
  AbortError: 'inUse',
};
