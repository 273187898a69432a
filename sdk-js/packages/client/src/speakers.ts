/** Who speaks, from the levels that receivers and our own microphone report. */

/** The level from which a voice counts as speech; -36 dBov. Chromium's fake beep has 0.45, Firefox's 0.07. */
const SPEECH_LEVEL = 0.016;
/** Milliseconds for which somebody still counts as speaking after the last loud moment, so that pauses do not flicker. */
const HOLD = 600;
/** How much of a new level goes into the smoothed one. */
const SMOOTHING = 0.4;

interface Voice {
  level: number;
  loudAt: number | undefined;
}

/** Smooths levels and decides, on the times that it is told. */
export class SpeakerDetector {
  private readonly voices = new Map<string, Voice>();

  /** One measurement, 0 to 1. */
  update(id: string, level: number, now: number): { level: number; speaking: boolean } {
    const voice = this.voices.get(id) ?? { level: 0, loudAt: undefined };
    voice.level += SMOOTHING * (level - voice.level);
    if (level >= SPEECH_LEVEL) voice.loudAt = now;
    this.voices.set(id, voice);
    return { level: voice.level, speaking: voice.loudAt !== undefined && now - voice.loudAt < HOLD };
  }

  /** Forgets those who are not in the list. */
  retain(ids: ReadonlySet<string>): void {
    for (const id of this.voices.keys()) if (!ids.has(id)) this.voices.delete(id);
  }
}

/** The level of a receiver now; 0 when the last packet is older than a moment. */
export function receiverLevel(receiver: RTCRtpReceiver): number {
  const newest = receiver.getSynchronizationSources().reduce<RTCRtpSynchronizationSource | undefined>(
    (best, it) => (best === undefined || it.timestamp > best.timestamp ? it : best),
    undefined,
  );
  return newest?.audioLevel ?? 0;
}

/** The level of our own microphone, where the browser reports it. */
export async function senderLevel(sender: RTCRtpSender): Promise<number> {
  let level = 0;
  (await sender.getStats()).forEach((entry: { type: string; audioLevel?: number }) => {
    if (entry.type === 'media-source') level = entry.audioLevel ?? level;
  });
  return level;
}
