/** Media that tests publish. */

const COLOURS: Record<string, [string, string]> = {
  red: ['rgb(210 20 20)', 'rgb(200 26 26)'],
  green: ['rgb(20 190 20)', 'rgb(26 180 26)'],
  blue: ['rgb(20 20 220)', 'rgb(26 26 210)'],
};

/** A picture of one colour, of which two shades alternate so that frames flow. */
export function solidColour(name: string, width: number, height: number, framesPerSecond: number): MediaStreamTrack {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const pen = canvas.getContext('2d', { alpha: false });
  const shades = COLOURS[name];
  if (!pen || !shades) throw new Error(`no colour ${name}`);
  let frame = 0;
  const draw = (): void => {
    pen.fillStyle = shades[frame++ % 2] ?? shades[0];
    pen.fillRect(0, 0, width, height);
  };
  draw();
  setInterval(draw, 1000 / framesPerSecond);
  const track = canvas.captureStream(framesPerSecond).getVideoTracks()[0];
  if (!track) throw new Error('the canvas gives no track');
  return track;
}

/** How many patches of a {@link busyPicture} are new in each frame, and how large they are in pixels. */
const PATCHES = 5;
const PATCH = { width: 256, height: 144 };
/**
 * The texture's cells, and how much they differ: large and pale enough that a keyframe is not many times as large as other frames,
 * after which an encoder would drop frames for a second.
 */
const CELL = 32;
const CONTRAST = 0.35;

/**
 * A picture that takes an encoder all the bits that it may spend: a texture that drifts, and patches of it that are new in each
 * frame. Fake cameras and text are so easy that a large layer fits where only a small one should.
 */
export function busyPicture(width: number, height: number, framesPerSecond: number): MediaStreamTrack {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const pen = canvas.getContext('2d', { alpha: false });
  if (!pen) throw new Error('no canvas');
  const margin = 128;
  const texture = textureOf(width + margin, height + margin);
  let frame = 0;
  const anywhere = (size: number, within: number): number => Math.floor(Math.random() * (within - size));
  const draw = (): void => {
    const drift = (speed: number): number => (margin / 2) * (1 + Math.sin((frame * speed) / framesPerSecond));
    pen.drawImage(texture, -drift(0.7), -drift(0.5));
    for (let patch = 0; patch < PATCHES; patch++) {
      const { width: w, height: h } = PATCH;
      pen.drawImage(texture, anywhere(w, texture.width), anywhere(h, texture.height), w, h, anywhere(w, width), anywhere(h, height), w, h);
    }
    frame += 1;
  };
  draw();
  setInterval(draw, 1000 / framesPerSecond);
  const track = canvas.captureStream(framesPerSecond).getVideoTracks()[0];
  if (!track) throw new Error('the canvas gives no track');
  return track;
}

/** Coloured cells, smoothed into each other. */
function textureOf(width: number, height: number): HTMLCanvasElement {
  const cells = Object.assign(document.createElement('canvas'), { width: Math.ceil(width / CELL), height: Math.ceil(height / CELL) });
  const texture = Object.assign(document.createElement('canvas'), { width, height });
  const [small, large] = [cells.getContext('2d'), texture.getContext('2d')];
  if (!small || !large) throw new Error('no canvas');
  const pixels = small.createImageData(cells.width, cells.height);
  pseudoRandomBytes(pixels.data.length, 15).forEach((byte, index) => (pixels.data[index] = index % 4 === 3 ? 255 : 128 + (byte - 128) * CONTRAST));
  small.putImageData(pixels, 0, 0);
  large.drawImage(cells, 0, 0, cells.width * CELL, cells.height * CELL);
  return texture;
}

/** Bytes that are reproducible from a seed and do not compress. */
export function pseudoRandomBytes(size: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let state = seed >>> 0 || 1;
  for (let index = 0; index < size; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[index] = state & 0xff;
  }
  return bytes;
}

/** SHA-256 in hex. */
export async function sha256(bytes: ArrayBuffer | Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A tone; `setLoudness` takes 0 to 1 of full scale. */
export function tone(hertz: number): { track: MediaStreamTrack; setLoudness(level: number): void } {
  const context = new AudioContext();
  const oscillator = new OscillatorNode(context, { frequency: hertz });
  const volume = new GainNode(context, { gain: 0 });
  const out = new MediaStreamAudioDestinationNode(context);
  oscillator.connect(volume).connect(out);
  oscillator.start();
  const track = out.stream.getAudioTracks()[0];
  if (!track) throw new Error('the graph gives no track');
  return { track, setLoudness: (level) => volume.gain.setTargetAtTime(level, context.currentTime, 0.02) };
}
