/** The bounds of the transport. Each is per peer unless it says otherwise. */
export type TransportLimits = {
  /** One frame with its head. Must hold the largest record that a write or a repair sends. */
  readonly frameBytesMax: number;
  /** The first frame of a connection, when its sender is still a stranger. */
  readonly helloBytesMax: number;
  /** How long connecting and the handshake may take together. */
  readonly helloTimeoutMs: number;
  /**
   * Bytes waiting to be sent; past it requests of both sides are refused, and past twice as many the link is closed.
   * More than a frame. Memory: this times the peers.
   */
  readonly outgoingBytesMax: number;
  /** Requests sent and not answered yet; past it requests are refused. */
  readonly inFlightMax: number;
  /** Requests of the peer in service; past it the peer is not read until half of them are done. */
  readonly servingMax: number;
  /** A peer that owes answers and says nothing for this long is pinged, and cut off after as long again. */
  readonly silenceMs: number;
  /** A peer that owes nothing and says nothing for this long is pinged, so that a dead link is not taken for a live one. */
  readonly keepAliveMs: number;
  /** A link to a member that is no peer any more is closed when unused for this long. */
  readonly unusedMs: number;
  /** First and longest pause between two attempts to connect; doubled in between, each shortened at random by up to half. */
  readonly reconnectMsMin: number;
  readonly reconnectMsMax: number;
  /** How long a stop waits for what is in flight. */
  readonly stopTimeoutMs: number;
  /** Connections of this node, over all peers, whose sender has not said who it is. */
  readonly strangersMax: number;
  /** Links of this node, over all, that were opened by `ask`. */
  readonly visitorsMax: number;
};

export const TRANSPORT_LIMITS: TransportLimits = {
  frameBytesMax: 2 * 1_024 * 1_024,
  helloBytesMax: 4_096,
  helloTimeoutMs: 5_000,
  outgoingBytesMax: 8 * 1_024 * 1_024,
  inFlightMax: 4_096,
  servingMax: 1_024,
  silenceMs: 2_000,
  keepAliveMs: 10_000,
  unusedMs: 10_000,
  reconnectMsMin: 50,
  reconnectMsMax: 2_000,
  stopTimeoutMs: 2_000,
  strangersMax: 128,
  visitorsMax: 64,
};
