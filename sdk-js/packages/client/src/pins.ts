/**
 * Who the application wants in the first slots, by identity: a new join, and somebody who comes back, find it as it was. Of
 * those who share a screen, the screens go first, too.
 */
import { log } from './log';
import type { RemoteParticipant } from './remote-participant';
import type { Roster } from './roster';
import type { Session } from './session';

export class Pins {
  private identities: string[] = [];

  constructor(private readonly roster: () => Roster) {}

  /** Pins these, in this order. */
  async set(session: Session, participants: readonly RemoteParticipant[]): Promise<void> {
    this.identities = participants.slice(0, session.transport.pairs).map(({ identity }) => identity);
    await this.tell(session);
  }

  /** Tells a new session, or that one of the pinned is there again. */
  restore(session: Session, arrived?: RemoteParticipant): void {
    if (this.identities.length === 0 || (arrived && !this.identities.includes(arrived.identity))) return;
    this.tell(session).catch((error: unknown) => log.debug('pins were not restored', error));
  }

  clear(): void {
    this.identities = [];
  }

  private async tell({ signal, transport }: Session): Promise<void> {
    const present = this.identities.flatMap((identity) => this.roster().participants.get(identity) ?? []);
    const sharing = present.filter((it) => it.getTrackPublication('screen_share')).slice(0, transport.screens);
    const pins = [...present.map(({ sid }, slot) => ({ slot, participant: sid })), ...sharing.map(({ sid }, slot) => ({ slot: transport.pairs + slot, participant: sid }))];
    await signal.request<'slots'>({ type: 'slots', pins });
  }
}
