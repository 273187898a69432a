import { describe, expect, it } from 'vitest';
import type { Slot } from './generated/protocol';
import { isAfter } from './frame-gate';
import { SlotTable } from './slots';
import { random } from './testing/random';

const EMPTY = (slot: number): Slot => ({ slot, participant: null, audio: null, video: null });

function shows(slot: number, who: string, after: number | null = null): Slot {
  return { slot, participant: who, audio: { track: `${who}-audio`, after: null }, video: { track: `${who}-video`, after } };
}

describe('SlotTable', () => {
  it('takes away before it shows, and leaves alone what stays', () => {
    const table = new SlotTable();
    table.apply(1, [shows(0, 'ann'), shows(1, 'bob')]);
    const change = table.apply(2, [shows(0, 'ann'), shows(1, 'cy', 77)]);
    expect(change.removed.map(({ track }) => track)).toEqual(['bob-audio', 'bob-video']);
    expect(change.added).toMatchObject([{ track: 'cy-audio' }, { track: 'cy-video', after: 77, slot: 1, participant: 'cy' }]);
    expect(table.revision).toBe(2);
  });

  it('empties what a snapshot does not name', () => {
    const table = new SlotTable();
    table.apply(1, [shows(0, 'ann'), shows(1, 'bob')]);
    const change = table.replace(9, [shows(1, 'bob')]);
    expect(change.removed.map(({ track }) => track)).toEqual(['ann-audio', 'ann-video']);
    expect(change.added).toEqual([]);
    expect(table.revision).toBe(9);
  });

  it('agrees with a naive model over random sequences', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const next = random(seed);
      const table = new SlotTable();
      const model = new Map<string, string>();
      const shown = new Map<string, string>();
      for (let revision = 1; revision <= 40; revision++) {
        const slots = [0, 1, 2, 3].filter(() => next(2) === 0).map((slot) => (next(4) === 0 ? EMPTY(slot) : shows(slot, `p${next(6)}`, next(1000))));
        const whole = next(8) === 0;
        if (whole) model.clear();
        for (const { slot, audio, video } of slots) {
          for (const [kind, it] of [['audio', audio], ['video', video]] as const) {
            if (it) model.set(`${slot}/${kind}`, it.track);
            else model.delete(`${slot}/${kind}`);
          }
        }
        const change = whole ? table.replace(revision, slots) : table.apply(revision, slots);
        // What a caller shows by following the changes, removals first.
        for (const { slot, kind, track } of change.removed) {
          expect(shown.get(`${slot}/${kind}`), `seed ${seed}`).toBe(track);
          shown.delete(`${slot}/${kind}`);
        }
        for (const { slot, kind, track } of change.added) {
          expect(shown.has(`${slot}/${kind}`), `seed ${seed}`).toBe(false);
          shown.set(`${slot}/${kind}`, track);
        }
        expect(new Map([...shown].sort()), `seed ${seed}`).toEqual(new Map([...model].sort()));
      }
    }
  });
});

describe('isAfter', () => {
  it('wraps like RTP time', () => {
    expect(isAfter(1, 0)).toBe(true);
    expect(isAfter(0, 0)).toBe(false);
    expect(isAfter(0, 1)).toBe(false);
    expect(isAfter(5, 0xffff_fff0)).toBe(true);
    expect(isAfter(0xffff_fff0, 5)).toBe(false);
  });
});
