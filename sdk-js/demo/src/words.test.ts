import { ConnectionError, DisconnectReason, MediaDeviceError, PublishError } from '@madang/client';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { explainConnectError, explainTrouble, REASONS } from './words';

beforeEach(() => vi.stubGlobal('window', { isSecureContext: true }));
afterEach(() => vi.unstubAllGlobals());

it('an expired, a foreign and a broken token are told apart', () => {
  const codes = ['token_expired', 'token_unknown_key', 'token_invalid', 'token_missing', 'permission_denied', 'origin_not_allowed'];
  const texts = codes.map((code) => explainConnectError(new ConnectionError('notAllowed', '', { code })));
  expect(new Set(texts).size).toBe(codes.length);
  expect(texts[0]).toContain('expired');
});

it('a proxy, a silence and a wrong address are told apart', () => {
  expect(explainConnectError(new ConnectionError('webSocketBlocked', ''))).toContain('proxy');
  expect(explainConnectError(new ConnectionError('serverUnreachable', ''))).toContain('does not answer');
  expect(explainConnectError(new ConnectionError('serverUnreachable', '', { code: 'not_madang' }))).toContain('not the server');
  expect(explainConnectError(new ConnectionError('cancelled', ''))).toBe('');
});

it('every end that nobody here wanted has words', () => {
  for (const reason of Object.values(DisconnectReason)) expect(Boolean(REASONS[reason])).toBe(reason !== DisconnectReason.ClientInitiated);
});

it('a device that failed has a heading of its own and a way on', () => {
  const of = (failure: ConstructorParameters<typeof MediaDeviceError>[0]): string => explainTrouble('microphone', new MediaDeviceError(failure, 'audioinput'))!.title;
  expect([of('permissionDenied'), of('notFound'), of('inUse'), of('ended')]).toEqual([
    'The microphone is blocked',
    'No microphone found',
    'The microphone is in use',
    'The microphone was unplugged',
  ]);
  expect(explainTrouble('camera', Object.assign(new Error(''), { name: 'NotAllowedError' }))).toMatchObject({ retry: true, title: 'The camera is blocked' });
  expect(explainTrouble('screen', new MediaDeviceError('permissionDenied', 'screen'))).toBeUndefined();
  const refused = new PublishError('video', 'no', { code: 'permission_denied' });
  expect(explainTrouble('camera', refused)).toMatchObject({ retry: false, title: 'You may not send the camera' });
});
