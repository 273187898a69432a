import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EncoderWatch } from './codec-fallback';
import { Dynacast } from './dynacast';
import { bitrateFor, layerCount, shapeOf, videoLayers } from './encodings';
import type { Shape } from './encodings';
import type { MediaTransport } from './media-transport';
import type { TrackPublishOptions } from './options';
import type { LocalTrackPublication } from './publication';
import { SenderLayers } from './sender-layers';
import { FakeSender } from './testing/fake-peer';

const RIDS = ['q', 'h', 'f'];
const HD = { width: 1280, height: 720 };

type Parameters = RTCRtpEncodingParameters & { scalabilityMode?: string };

describe('layers', () => {
  it('follow the longest side', () => {
    expect([layerCount(1280, 720), layerCount(720, 1280), layerCount(960, 540), layerCount(640, 360), layerCount(320, 180)]).toEqual([3, 3, 3, 2, 1]);
  });

  it('use the lower RIDs first, the last one at full size', () => {
    const layers = (size: typeof HD, shape: Shape = 'simulcast'): [string | undefined, number][] =>
      videoLayers(RIDS, 'camera', size, {}, shape).filter(({ active }) => active).map((it) => [it.rid, it.scaleResolutionDownBy]);
    expect(layers(HD)).toEqual([['q', 4], ['h', 2], ['f', 1]]);
    expect(layers({ width: 640, height: 360 })).toEqual([['q', 2], ['h', 1]]);
    expect(layers({ width: 320, height: 180 })).toEqual([['q', 1]]);
    expect(layers(HD, 'single')).toEqual([['q', 1]]);
    expect(layers(HD, 'svc')).toEqual([['q', 1]]);
  });

  it('have the bits of the documented ladder', () => {
    const rounded = (width: number, height: number): number => Math.round(bitrateFor(width, height) / 10_000) / 100;
    expect([rounded(320, 180), rounded(640, 360), rounded(1280, 720), rounded(1920, 1080)]).toEqual([0.15, 0.51, 1.7, 3.44]);
    expect(bitrateFor(1280, 720, 30, 'vp9')).toBe(1_360_000);
    expect(bitrateFor(1280, 720, 15)).toBeLessThan(bitrateFor(1280, 720));
    const [low, , top] = videoLayers(RIDS, 'camera', HD, { maxBitrate: 2_000_000 }, 'simulcast');
    expect([low!.maxBitrate, top!.maxBitrate]).toEqual([bitrateFor(320, 180), 2_000_000]);
    const [whole] = videoLayers(RIDS, 'camera', HD, { videoCodec: 'vp9' }, 'svc');
    expect(whole!.maxBitrate).toBe([1, 2, 4].reduce((sum, down) => sum + bitrateFor(1280 / down, 720 / down, 30, 'vp9'), 0));
  });

  it.each<[TrackPublishOptions, Shape, string | undefined]>([
    [{}, 'simulcast', 'L1T3'],
    [{ simulcast: false }, 'single', 'L1T3'],
    [{ videoCodec: 'h264' }, 'simulcast', undefined],
    [{ videoCodec: 'vp9' }, 'svc', 'L3T3_KEY'],
    [{ videoCodec: 'av1' }, 'svc', 'L3T3_KEY'],
    [{ videoCodec: 'vp9', simulcast: true }, 'simulcast', 'L1T3'],
    [{ videoCodec: 'vp9', simulcast: false }, 'single', 'L1T3'],
    [{ videoCodec: 'vp9', scalabilityMode: 'L2T2' }, 'single', 'L2T2'],
    [{ videoCodec: 'vp9', scalabilityMode: 'L1T2' }, 'simulcast', 'L1T2'],
  ])('%o is %s of %s', (options, shape, mode) => {
    expect(shapeOf(options)).toBe(shape);
    expect(videoLayers(RIDS, 'camera', HD, options, shape)[0]!.scalabilityMode).toBe(mode);
  });

  it('of spatial layers are as many as the picture is worth', () => {
    const mode = (width: number, height: number): string | undefined => videoLayers(RIDS, 'camera', { width, height }, { videoCodec: 'av1' }, 'svc')[0]!.scalabilityMode;
    expect([mode(640, 360), mode(320, 180)]).toEqual(['L2T3_KEY', 'L1T3']);
  });

  it('of a screen are two, of few frames, and go first', () => {
    const layers = videoLayers(['q', 'h'], 'screen_share', { width: 1920, height: 1080 }, {}, 'simulcast');
    expect(layers).toMatchObject([
      { rid: 'q', active: true, scaleResolutionDownBy: 2, maxFramerate: 5, priority: 'high' },
      { rid: 'h', active: true, scaleResolutionDownBy: 1, maxFramerate: 15 },
    ]);
    expect(layers[1]).not.toHaveProperty('priority');
    expect(videoLayers(['q', 'h'], 'screen_share', HD, { maxFramerate: 3 }, 'simulcast').map((it) => it.maxFramerate)).toEqual([3, 3]);
  });
});

describe('a sender', () => {
  let sender: FakeSender;
  let layers: SenderLayers;
  const encodings = (): Parameters[] => sender.parameters.encodings;
  const active = (): string[] => encodings().filter((it) => it.active).map(({ rid }) => rid!);

  beforeEach(() => {
    sender = new FakeSender(RIDS.map((rid) => ({ rid })));
    layers = new SenderLayers(sender as unknown as RTCRtpSender);
  });

  it('is set without scalability modes where they are refused', async () => {
    const set = sender.setParameters.bind(sender);
    sender.setParameters = async (parameters) => {
      if (parameters.encodings.some((it) => 'scalabilityMode' in it)) throw new Error('unknown mode');
      await set(parameters);
    };
    expect(await layers.set(videoLayers(RIDS, 'camera', HD, {}, 'simulcast'))).toBe(false);
    expect(encodings()[0]).toMatchObject({ active: true, scaleResolutionDownBy: 4 });
  });

  it('tells where a scalability mode was ignored', async () => {
    expect(await layers.set(videoLayers(RIDS, 'camera', HD, { videoCodec: 'vp9' }, 'svc'))).toBe(true);
    sender.setParameters = async (parameters) => {
      parameters.encodings.forEach((it: Parameters) => delete it.scalabilityMode);
      sender.parameters = parameters;
    };
    expect(await layers.set(videoLayers(RIDS, 'camera', HD, { videoCodec: 'vp9' }, 'svc'))).toBe(false);
  });

  it('sends what is published and wanted, in whichever order they are said', async () => {
    await layers.set(videoLayers(RIDS, 'camera', HD, {}, 'simulcast'));
    await layers.demand([{ rid: 'q', wanted: true }, { rid: 'h', wanted: false }, { rid: 'f', wanted: false }]);
    expect(active()).toEqual(['q']);
    // A smaller camera has two layers; the second one is still wanted by nobody.
    await layers.set(videoLayers(RIDS, 'camera', { width: 640, height: 360 }, {}, 'simulcast'));
    expect(active()).toEqual(['q']);
    await layers.demand([{ rid: 'q', wanted: true }, { rid: 'h', wanted: true }, { rid: 'f', wanted: true }]);
    expect(active()).toEqual(['q', 'h']);
    await layers.demand(RIDS.map((rid) => ({ rid, wanted: false })));
    expect(active()).toEqual([]);
    await layers.demand(undefined);
    expect(active()).toEqual(['q', 'h']);
    expect(encodings()[1]!.scaleResolutionDownBy).toBe(1);
  });

  it('is asked for one thing at a time, and for nothing that is so already', async () => {
    let under = 0;
    let calls = 0;
    sender.setParameters = async (parameters) => {
      expect(++under).toBe(1);
      calls++;
      await Promise.resolve();
      sender.parameters = parameters;
      under--;
    };
    const off = [{ rid: 'f', wanted: false }];
    await Promise.all([layers.set(videoLayers(RIDS, 'camera', HD, {}, 'simulcast')), layers.demand(off), layers.demand(off), layers.demand([])]);
    expect(calls).toBe(3);
    expect(active()).toEqual(RIDS);
  });
});

describe('dynacast', () => {
  const demands: [string, unknown][] = [];
  const transport = { layers: (source: string) => ({ demand: async (it: unknown) => void demands.push([source, it]) }) } as unknown as MediaTransport;
  const publication = (trackSid: string): LocalTrackPublication => ({ trackSid, kind: 'video', source: 'camera' }) as LocalTrackPublication;
  const q = [{ rid: 'q', wanted: false }];
  beforeEach(() => void demands.splice(0));

  it('keeps a demand until its publication is known', () => {
    const own = new Map<string, LocalTrackPublication>();
    const dynacast = new Dynacast(true, () => own, () => transport);
    dynacast.apply({ track: 'TR_1', encodings: q });
    expect(demands).toEqual([]);
    dynacast.adopt(publication('TR_1'));
    dynacast.release(publication('TR_1'));
    dynacast.adopt(publication('TR_1'));
    expect(demands).toEqual([['camera', q], ['camera', undefined], ['camera', undefined]]);
  });

  it('takes a snapshot for the whole', () => {
    const own = new Map([['TR_1', publication('TR_1')]]);
    const dynacast = new Dynacast(true, () => own, () => transport);
    dynacast.apply({ track: 'TR_1', encodings: q });
    dynacast.replace([]);
    expect(demands).toEqual([['camera', q], ['camera', undefined]]);
  });

  it('does nothing where it is off', () => {
    const own = new Map([['TR_1', publication('TR_1')]]);
    const dynacast = new Dynacast(false, () => own, () => transport);
    dynacast.apply({ track: 'TR_1', encodings: q });
    dynacast.replace([{ track: 'TR_1', encodings: q }]);
    dynacast.release(publication('TR_1'));
    expect(demands).toEqual([]);
  });
});

describe('an encoder', () => {
  const broken: unknown[] = [];
  let sender: FakeSender;
  let publication: LocalTrackPublication;
  let watch: EncoderWatch;
  let frames: number;
  beforeEach(() => {
    vi.useFakeTimers();
    broken.length = 0;
    frames = 1;
    sender = new FakeSender([{ active: true } as RTCRtpEncodingParameters]);
    publication = { isMuted: false, track: { sender } } as unknown as LocalTrackPublication;
    watch = new EncoderWatch((it) => broken.push(it));
    watch.watch(publication);
  });
  afterEach(() => vi.useRealTimers());

  async function run(looks: number, encoded = 0, moves = true): Promise<void> {
    for (let look = 0; look < looks; look++, frames += moves ? 30 : 0) {
      sender.stats = [{ type: 'media-source', frames }, { type: 'outbound-rtp', framesEncoded: encoded }];
      await vi.advanceTimersByTimeAsync(2000);
    }
  }

  it('that makes nothing of what it is given is broken', async () => {
    await run(3);
    expect(broken).toEqual([]);
    await run(3);
    expect(broken).toEqual([publication]);
    await run(6);
    expect(broken).toHaveLength(1);
  });

  it('that has made a frame is not looked at again', async () => {
    await run(1, 1);
    await run(9);
    expect(broken).toEqual([]);
  });

  it('without a source, paused or muted is not broken', async () => {
    await run(9, 0, false);
    sender.parameters.encodings[0]!.active = false;
    await run(9);
    Object.assign(publication, { isMuted: true });
    sender.parameters.encodings[0]!.active = true;
    await run(9);
    expect(broken).toEqual([]);
  });
});
