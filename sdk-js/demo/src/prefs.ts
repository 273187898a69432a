/** What the demo remembers between visits, in local storage. Storage may be forbidden: then nothing is remembered. */

const KEY = 'madang.prefs';

/** The remembered choices. */
export interface Prefs {
  name: string;
  camera: boolean;
  microphone: boolean;
  cameraId: string;
  microphoneId: string;
  speakerId: string;
  /** Every picture says why it is as it is. */
  explain: boolean;
}

const DEFAULTS: Prefs = { name: '', camera: true, microphone: true, cameraId: '', microphoneId: '', speakerId: '', explain: false };

/** The remembered choices, or the defaults. */
export function loadPrefs(): Prefs {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    if (typeof stored !== 'object' || stored === null) return { ...DEFAULTS };
    const known = Object.entries(stored).filter(([key, value]) => typeof value === typeof DEFAULTS[key as keyof Prefs]);
    return { ...DEFAULTS, ...Object.fromEntries(known) };
  } catch {
    return { ...DEFAULTS };
  }
}

/** Remembers changed choices. */
export function savePrefs(changed: Partial<Prefs>): void {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...loadPrefs(), ...changed }));
  } catch {
    // A browser that forbids storage still makes calls.
  }
}
