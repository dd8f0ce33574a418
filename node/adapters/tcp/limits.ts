/** The bounds of the transport. Each is per peer unless it says otherwise. */
import { SIBLING_BYTES_CEILING } from "../../core/version/sibling-limits.ts";
import type { Hello } from "./handshake.ts";

export type TransportLimits = {
  /**
   * One frame with its head. Must hold the largest record that a write or a repair sends. Each side says what it takes, and
   * is sent nothing that is larger.
   */
  readonly frameBytesMax: number;
  /** The first frame of a connection, when its sender is still a stranger. */
  readonly helloBytesMax: number;
  /** How long connecting and the handshake may take together. */
  readonly helloTimeoutMs: number;
  /**
   * Bytes waiting to be sent; past it requests of both sides are refused, and far past it (`outgoingBytesEnd`) the link is
   * closed. Memory: this, and a frame, times the peers.
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

/**
 * Members that may stamp values of one key without hearing of each other, so that all they stamped meets in one record: the
 * homes of both rings of a change at N = 3, and two stand-ins.
 */
const STAMPING_APART = 6 + 2;
/** What a record takes beside its values: contexts, and the names of writes. */
const RECORD_REST_BYTES = 4 * 1_024 * 1_024;
/** What a peer takes that does not say: a release of before. */
const FRAME_BYTES_UNSAID = 2 * 1_024 * 1_024;

export const TRANSPORT_LIMITS: TransportLimits = {
  frameBytesMax: STAMPING_APART * SIBLING_BYTES_CEILING + RECORD_REST_BYTES,
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

/** How large a frame to a peer may be, by what it said of itself: no larger than it takes, nor than this side does. */
export function frameBytesFor({ frameBytesMax }: TransportLimits, peer: Pick<Hello, "frameBytesMax">): number {
  return Math.min(frameBytesMax, peer.frameBytesMax ?? FRAME_BYTES_UNSAID);
}

/** Bytes waiting to be sent past which a link is closed: with the largest frame behind those that may wait, and refusals. */
export function outgoingBytesEnd({ outgoingBytesMax, frameBytesMax }: TransportLimits): number {
  return outgoingBytesMax + Math.max(outgoingBytesMax, 1.5 * frameBytesMax);
}
