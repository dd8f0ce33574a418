/**
 * What the transport needs of a network: byte streams that connect, carry, hold back and close.
 *
 * Production has them over `node:net` (sockets.ts), the simulation over virtual time (test/sim/network.ts). All that
 * decides - handshake, links, deadlines, reconnection - stands on these types and is one code in both worlds.
 */

/** What happens to a wire. `closed` comes exactly once and is the last. */
export type WireEvents = {
  /** A dialled wire stands; one that was accepted stands from the start. */
  connected(): void;
  /** Bytes of the peer, owned by the receiver. */
  data(chunk: Uint8Array): void;
  /** All that was written is with the operating system, after `write` had said that it was not. */
  drained(): void;
  closed(error: Error | undefined): void;
};

/** Why the other end of a wire may not be whom it says it is. */
export type Objection = {
  /** What was expected and what was found. */
  readonly detail: string;
  /** Whether it is refused for it; otherwise it is only told of. */
  readonly isBinding: boolean;
};

export type Wire = {
  /** Who hears of it from now on; a later call replaces the earlier. */
  attach(events: WireEvents): void;
  /**
   * Sends bytes.
   * @returns Whether they are already out of the caller's memory, which then may be used again.
   */
  write(chunk: Uint8Array): boolean;
  /** Bytes written that are still in this process. */
  queuedBytes(): number;
  /** Stops giving `data`; the peer is held back once the buffers between are full. */
  pause(): void;
  resume(): void;
  /** Sends what is queued, then closes. */
  end(): void;
  /** Closes now. */
  destroy(): void;
  /**
   * What speaks against the other end being the member of this name, by the certificate that it showed; undefined when
   * nothing does, or where no certificates are asked for. Without a name: whether it is of this cluster at all.
   */
  objection(name: string | undefined): Objection | undefined;
  /** Where the peer is, for logs. */
  readonly remote: string;
};

/** Why a wire was closed whose two ends could not agree on how to secure it: told as a refusal, not as a mishap. */
export class InsecureWireError extends Error {}

export type ListenAddress = { readonly host: string; readonly port: number };

export type Listener = {
  readonly address: ListenAddress;
  /** Takes no more connections; those taken stay. */
  close(): void;
};

export type Network = {
  /** @throws When the address cannot be listened on. */
  listen(address: ListenAddress, accepted: (wire: Wire) => void): Promise<Listener>;
  /** Starts to connect. A failure, also of a malformed `host:port`, is told by `closed`. */
  dial(address: string): Wire;
  /** Runs `run` once at the end of the present turn: what a turn has to say goes out together. */
  afterTurn(run: () => void): void;
};
