// GStreamer's webrtcbin over WHIP and WHEP, whose DTLS certificate is RSA: what it publishes is seen in browsers, and it decodes what
// they publish. H264 goes to Chromium alone, as Debian's Firefox has no decoder for it in WebRTC.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast, hears, seesFrames } from '../lib/cast.mjs';
import { GStreamerClient } from '../lib/gstreamer.mjs';
import { freshRoom, mint } from '../lib/tokens.mjs';

let cast;
const clients = [];
before(async () => {
  cast = await Cast.start();
});
after(async () => {
  for (const client of clients) client.kill();
  await cast?.end();
});

function client(...args) {
  const made = new GStreamerClient(...args);
  clients.push(made);
  return made;
}

for (const [codec, browsers] of [['vp8', ['chromium', 'firefox']], ['h264', ['chromium']]]) {
  test(`${codec} by webrtcbin over WHIP is seen and heard in ${browsers.join(' and ')}`, { timeout: 120_000 }, async () => {
    const room = freshRoom();
    const viewers = [];
    for (const browser of browsers) viewers.push(await cast.join(room, browser, { browser, publish: false, options: { colours: true } }));
    const whip = client('whip.py', `${cast.server.http}/whip/${room}`, await mint(room, 'whip'), codec);
    await whip.value('resource');
    for (const viewer of viewers) {
      await seesFrames(viewer, 'whip', { frames: 30 });
      await hears(viewer, 'whip');
      assert.deepEqual(Object.keys((await viewer.call('coloursByIdentity')).whip), ['blue']);
    }
    const late = await cast.join(room, 'late', { publish: false });
    await seesFrames(late, 'whip', { frames: 10 });
    assert.equal(await whip.hangUp(), 200, 'DELETE ends it');
  });
}

for (const [codec, browser] of [['vp8', 'chromium'], ['vp8', 'firefox'], ['h264', 'chromium']]) {
  test(`${codec} of ${browser} is decoded by webrtcbin over WHEP`, { timeout: 120_000 }, async () => {
    const room = freshRoom();
    const ann = await cast.join(room, 'ann', { browser, publish: false });
    await ann.call('publishColour', 'green', 320, 180, { videoCodec: codec });
    await ann.call('setMicrophone', true);
    const whep = client('whep.py', `${cast.server.http}/whep/${room}`, await mint(room, 'whep'), codec.toUpperCase(), 30, 20);
    assert.ok((await whep.value('video', 30_000)) >= 30, `frames: ${JSON.stringify(whep.said)}`);
    assert.ok((await whep.value('audio')) >= 30);
    assert.ok((await whep.value('peak')) > 100, 'there is sound');
    assert.equal(await whep.value('colour'), 'green');
    assert.equal(await whep.value('deleted'), 200);
  });
}
