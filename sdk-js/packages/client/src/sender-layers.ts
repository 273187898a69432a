/**
 * The encodings of one sender. What is published and what anybody takes meet here: an encoding is active where both say so.
 *
 * `setParameters` calls go one after another: a browser refuses parameters that were read before the last call was done.
 */
import { Queue } from './async';
import type { Layer } from './encodings';
import type { EncodingDemand } from './generated/protocol';
import { log } from './log';

/** The RID of an only encoding. */
const ONLY = '';

export class SenderLayers {
  private layers: readonly Layer[] = [];
  private unwanted: ReadonlySet<string> = new Set();
  private readonly queue = new Queue();

  constructor(private readonly sender: RTCRtpSender) {}

  /** The RIDs that the sender has; `undefined` for an only encoding. Empty: the browser tells none. */
  get rids(): (string | undefined)[] {
    return (this.sender.getParameters().encodings ?? []).map(({ rid }) => rid);
  }

  /** Sets what is sent. False: the browser takes no such scalability mode, and the rest is set. Rejects where it takes nothing of it. */
  set(layers: readonly Layer[]): Promise<boolean> {
    return this.queue.run(async () => {
      this.layers = layers;
      try {
        await this.write(true);
        return this.hasModes();
      } catch (error) {
        log.debug('encodings were refused; again without what is new in browsers', error);
        await this.write(false);
        return false;
      }
    });
  }

  /** What anybody takes; undefined: everything, as far as is known. */
  demand(encodings: readonly EncodingDemand[] | undefined): Promise<void> {
    // `maxSpatial` changes nothing: with another scalability mode the spatial layers would mean other sizes from one
    // frame to the next, and Chromium starts the encoder anew. The server drops what nobody takes.
    const unwanted = (encodings ?? []).filter(({ wanted }) => !wanted).map(({ rid }) => rid ?? ONLY);
    return this.queue.run(async () => {
      this.unwanted = new Set(unwanted);
      const parameters = this.sender.getParameters();
      const stale = (parameters.encodings ?? []).filter((it, index) => it.active !== this.isActive(it, index));
      if (stale.length === 0 || this.layers.length === 0) return;
      parameters.encodings.forEach((it, index) => (it.active = this.isActive(it, index)));
      await this.sender.setParameters(parameters);
    });
  }

  private async write(whole: boolean): Promise<void> {
    const parameters = this.sender.getParameters();
    parameters.encodings?.forEach((encoding, index) => {
      const layer = this.layerOf(encoding, index);
      if (!layer) return;
      const { rid: _rid, scalabilityMode, priority, ...rest } = layer;
      // Not left over from what was published before.
      delete (encoding as { scalabilityMode?: string }).scalabilityMode;
      const extras = { ...(scalabilityMode ? { scalabilityMode } : {}), ...(priority ? { priority } : {}) };
      Object.assign(encoding, rest, { active: this.isActive(encoding, index) }, whole ? extras : {});
    });
    await this.sender.setParameters(parameters);
  }

  private hasModes(): boolean {
    return (this.sender.getParameters().encodings ?? []).every((encoding, index) => {
      const mode = this.layerOf(encoding, index)?.scalabilityMode;
      return mode === undefined || (encoding as { scalabilityMode?: string }).scalabilityMode === mode;
    });
  }

  private isActive(encoding: RTCRtpEncodingParameters, index: number): boolean {
    const layer = this.layerOf(encoding, index);
    return (layer?.active ?? encoding.active ?? true) && !this.unwanted.has(encoding.rid ?? ONLY);
  }

  private layerOf({ rid }: RTCRtpEncodingParameters, index: number): Layer | undefined {
    return rid === undefined ? this.layers[0] : (this.layers.find((layer) => layer.rid === rid) ?? this.layers[index]);
  }
}
