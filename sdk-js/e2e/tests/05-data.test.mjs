// A chat line and a 5 MB file arrive intact, in both browsers.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast } from '../lib/cast.mjs';
import { freshRoom } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

let cast;
before(async () => (cast = await Cast.start()));
after(() => cast?.end());

test('a chat line and a file of 5 MB arrive intact', { timeout: 120_000 }, async () => {
  const room = freshRoom();
  const ann = await cast.join(room, 'ann', { publish: false });
  const receivers = [await cast.join(room, 'bob', { publish: false }), await cast.join(room, 'fox', { browser: 'firefox', publish: false })];

  const line = 'Grüße, 마당! <b>not markup</b> 🏡';
  await ann.call('sendText', line);
  for (const receiver of receivers) {
    const texts = await until(async () => ((await receiver.call('texts')).length > 0 ? receiver.call('texts') : undefined), { what: `${receiver.identity} to get the chat line` });
    assert.deepEqual(texts, [{ from: 'ann', text: line }]);
  }

  const size = 5 * 1024 * 1024;
  const sent = await ann.call('sendFile', size, 42);
  assert.equal(sent.lastProgress, 1, 'progress ends at one');
  assert.ok(sent.progressSteps > 2, 'progress is told on the way');
  for (const receiver of receivers) {
    const files = await until(async () => ((await receiver.call('files')).length > 0 ? receiver.call('files') : undefined), { within: 30_000, what: `${receiver.identity} to get the file` });
    assert.deepEqual(files, [{ from: 'ann', name: 'file.bin', size, sha256: sent.sha256 }]);
  }
});
