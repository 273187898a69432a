// Assertions that several scenarios share.

import assert from 'node:assert/strict';

/** Everybody decodes everybody: frames rise, pictures have no gap of a second, sound has a level. */
export function assertFlows(flows, seconds) {
  assert.ok(flows.length > 0, 'there is something to check');
  for (const flow of flows) {
    const said = JSON.stringify(flow);
    assert.ok(flow.decoded >= seconds * 4, `frames are decoded: ${said}`);
    assert.ok(flow.maxGap < 1_000, `no gap of a second between frames: ${said}`);
    assert.ok(flow.energy > 0, `there is sound: ${said}`);
  }
}

/** Media of this page is sealed by an AEAD. Firefox names ciphers only in newer versions. */
export async function assertAead(person) {
  const { srtpCipher } = await person.call('transport');
  if (person.browser === 'firefox' && srtpCipher === undefined) return;
  assert.match(String(srtpCipher), /GCM/, `${person.identity}'s media is sealed by an AEAD`);
}
