/**
 * One handshaken connection: requests out, replies matched to them, requests in, answers sent.
 *
 * What is said in one turn of the event loop goes out in one write. Every queue has a bound. Past that of what is in
 * service, the peer's bytes are left in the socket, which holds the peer back; a handler therefore may not wait for an
 * answer over the same link, which could stand behind the request that waits for it. Past that of outgoing bytes,
 * requests of either side are refused at once. Reading never waits for sending: two ends that both did so, each with
 * a full queue for the other, would wait for ever.
 * Not here: who the peer is (handshake.ts), what waits for a reply (in-flight.ts), when to connect (dialer.ts).
 */
import { KvError } from "../../core/errors.ts";
import type { FailureReply, Reply, Request } from "../../messages.ts";
import { decodeReply, decodeRequest, encodeReply, encodeRequest } from "../../messages-codec.ts";
import type { PeerIdentity, RequestHandler, Telemetry, Time } from "../../ports.ts";
import { DelayMeter } from "./delay-meter.ts";
import { FRAME_TYPE, type Frame, FrameError, type FrameReader, FrameWriter } from "./frame.ts";
import type { GreetingResult } from "./greeting.ts";
import { InFlight, type Waiting } from "./in-flight.ts";
import { frameBytesFor, outgoingBytesEnd, type TransportLimits } from "./limits.ts";
import type { Wire, WireEvents } from "./wire.ts";

/** A chunk of this size goes out at once, not at the end of the turn, so that bursts do not pile up. */
const FLUSH_BYTES = 256 * 1_024;
const BUDGET_MS_MAX = 0xffff_ffff;
/** How often the peer is asked for its clock: what its drift adds in between is 5 ms. */
const GAUGE_INTERVAL_MS = 10_000;
/** Ids of pings are 1 to this, then from 1 again; a pong of id 0 answers none. */
const PINGS = 2 ** 31;
const NOTHING: readonly unknown[] = [];

/** What the links of one transport share. */
export type LinkContext = {
  readonly time: Time;
  readonly telemetry: Telemetry;
  readonly limits: TransportLimits;
  /** Answers requests; undefined refuses them, since this node is stopping. */
  readonly handler: () => RequestHandler | undefined;
  /** Runs `run` once at the end of the present turn. */
  readonly afterTurn: (run: () => void) => void;
};

/** Owns its wire: closes it when the peer breaks the protocol or goes silent, and tells the owner once. */
export class Link implements WireEvents {
  readonly peer: PeerIdentity;
  readonly #context: LinkContext;
  readonly #wire: Wire;
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  readonly #ended: (link: Link, why: string) => void;
  readonly #inFlight: InFlight;
  readonly #flushNow = () => this.#flush();
  #flushIsDue = false;
  #serving = 0;
  #paused = false;
  #over = false;
  readonly #delays: DelayMeter;
  /** The last ping that is not answered yet, whatever it was sent for. */
  #ping: { readonly id: number; readonly sentMs: number } | undefined;
  #pings = 0;
  #receivedMs: number;
  #usedMs: number;
  /** When a ping was sent because the peer said nothing, and it has said nothing since. */
  #pingedMs: number | undefined;
  #whenQuiet: (() => void) | undefined;

  /**
   * @param greeted Its reader may hold what the peer said right after the handshake; `saidMs` is when this side said its
   *   own part of that, by its monotonic clock.
   * @param ended Called once, when the link is over and all its requests have been rejected.
   */
  constructor(
    context: LinkContext,
    peer: PeerIdentity,
    greeted: Pick<Extract<GreetingResult, { kind: "linked" }>, "hello" | "wire" | "reader" | "saidMs">,
    ended: (link: Link, why: string) => void,
  ) {
    this.peer = peer;
    this.#context = context;
    this.#wire = greeted.wire;
    this.#reader = greeted.reader;
    this.#delays = new DelayMeter(greeted.saidMs);
    this.#ended = ended;
    this.#writer = new FrameWriter(frameBytesFor(context.limits, greeted.hello));
    this.#inFlight = new InFlight(context.time, (waiting) => this.#expire(waiting));
    this.#receivedMs = context.time.monotonicMs();
    this.#usedMs = this.#receivedMs;
    this.#reader.allow(context.limits.frameBytesMax);
    this.#wire.attach(this);
  }

  /** Reads what came with the handshake. Apart from the constructor, so that the owner can enter the link first. */
  begin(): void {
    this.#sendPing(this.#context.time.monotonicMs());
    this.#read();
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  get outgoingBytes(): number {
    return this.#writer.pendingBytes + this.#wire.queuedBytes();
  }

  /** See `Transport.request`. */
  request(request: Request, timeoutMs: number): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const refused = this.#refusesToSend(timeoutMs);
      if (refused !== undefined) return reject(refused);
      const id = this.#inFlight.takeId();
      // Throws TOO_LARGE, which rejects the promise: nothing has been sent then.
      const nowMs = this.#context.time.monotonicMs();
      const budgetMs = Math.min(Math.ceil(timeoutMs), BUDGET_MS_MAX);
      this.#writer.append(FRAME_TYPE.request, id, budgetMs, encodeRequest(request), nowMs);
      this.#usedMs = nowMs;
      this.#inFlight.add(id, { deadlineMs: nowMs + timeoutMs, resolve, reject }, nowMs);
      this.#flushSoon();
    });
  }

  /** Looks for a peer that has gone silent; called about every second. */
  inspect(nowMs: number): void {
    if (this.#over) return;
    // Whoever is not read is not heard, and does not hear an answer to its pings: it is told that this side lives.
    if (this.#paused) return this.#say(FRAME_TYPE.pong, 0, NOTHING);
    const { silenceMs, keepAliveMs } = this.#context.limits;
    if (this.#pingedMs !== undefined) {
      if (nowMs - this.#pingedMs >= silenceMs)
        this.close(`it said nothing for ${Math.round(nowMs - this.#receivedMs)} ms`);
      return;
    }
    if (nowMs - this.#receivedMs >= (this.#inFlight.size > 0 ? silenceMs : keepAliveMs)) {
      this.#pingedMs = nowMs;
      this.#sendPing(nowMs);
    } else if (nowMs - this.#delays.answeredMs >= GAUGE_INTERVAL_MS) this.#sendPing(nowMs);
  }

  /** Whether no request went either way for `forMs`, and none is in work. */
  isUnused(nowMs: number, forMs: number): boolean {
    return this.#isQuiet() && nowMs - this.#usedMs >= forMs;
  }

  /** Calls back once nothing is in flight either way. */
  whenQuiet(callback: () => void): void {
    if (this.#over || this.#isQuiet()) callback();
    else this.#whenQuiet = callback;
  }

  /** Sends what is queued and closes; what is still in flight is rejected. */
  finish(why: string): void {
    if (this.#over) return;
    this.#flush();
    this.#end(why);
    this.#wire.end();
  }

  /** Closes now; what is in flight is rejected with outcome unknown. */
  close(why: string): void {
    if (this.#over) return;
    this.#end(why);
    this.#wire.destroy();
  }

  connected(): void {}

  data(chunk: Uint8Array): void {
    if (this.#over) return;
    this.#receivedMs = this.#context.time.monotonicMs();
    this.#pingedMs = undefined;
    this.#reader.push(chunk);
    this.#read();
  }

  drained(): void {}

  closed(error: Error | undefined): void {
    if (!this.#over) this.#end(error?.message ?? "it closed the connection");
  }

  #refusesToSend(timeoutMs: number): KvError | undefined {
    const { name } = this.peer;
    const { inFlightMax, outgoingBytesMax } = this.#context.limits;
    if (this.#over) return new KvError("PEER_UNREACHABLE", `Cannot ask ${name}: the link is closed`);
    if (timeoutMs <= 0) return new KvError("TIMED_OUT", `Cannot ask ${name}: no time is left, nothing was sent`);
    if (this.#inFlight.size < inFlightMax && !this.#isFull()) return undefined;
    this.#context.telemetry.count("annulus.transport.overloaded");
    const found = `${this.#inFlight.size} and ${this.outgoingBytes}`;
    const expected = `fewer than ${inFlightMax} requests in flight and at most ${outgoingBytesMax} bytes queued`;
    return new KvError("OVERLOADED", `Cannot ask ${name}: expected ${expected}, found ${found}`);
  }

  #isFull(): boolean {
    return this.outgoingBytes > this.#context.limits.outgoingBytesMax;
  }

  /** What a peer is told that sends requests faster than it takes the replies. */
  #overloaded(): KvError {
    this.#context.telemetry.count("annulus.transport.overloaded");
    const { outgoingBytesMax } = this.#context.limits;
    const found = `${this.outgoingBytes} that the peer has not taken yet`;
    return new KvError(
      "OVERLOADED",
      `Cannot answer: expected at most ${outgoingBytesMax} bytes queued, found ${found}`,
    );
  }

  #flushSoon(): void {
    if (this.#writer.pendingBytes >= FLUSH_BYTES) return this.#flush();
    if (this.#flushIsDue) return;
    this.#flushIsDue = true;
    this.#context.afterTurn(this.#flushNow);
  }

  #flush(): void {
    this.#flushIsDue = false;
    if (this.#over || this.#writer.pendingBytes === 0) return;
    if (this.#wire.write(this.#writer.take())) this.#writer.recycle();
  }

  /** Takes frames while this side can keep up with them. */
  #read(): void {
    try {
      while (!this.#over && this.#serving < this.#context.limits.servingMax) {
        const frame = this.#reader.next();
        if (frame === undefined) return;
        this.#take(frame);
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#context.telemetry.count("annulus.transport.broken_frames");
      return this.close(error.message);
    }
    if (this.#over || this.#paused) return;
    this.#paused = true;
    this.#wire.pause();
  }

  #resumeIfPossible(): void {
    if (!this.#paused || this.#over) return;
    if (this.#serving > this.#context.limits.servingMax / 2) return;
    this.#paused = false;
    this.#read();
    if (this.#paused || this.#over) return;
    this.#receivedMs = this.#context.time.monotonicMs();
    this.#pingedMs = undefined;
    this.#wire.resume();
  }

  #take(frame: Frame): void {
    const nowMs = this.#context.time.monotonicMs();
    const underWayMs = this.#delays.underWayMs(frame.sentMs, nowMs);
    switch (frame.type) {
      case FRAME_TYPE.request:
        return this.#serve(frame, nowMs, underWayMs);
      case FRAME_TYPE.reply:
        return this.#match(frame);
      case FRAME_TYPE.ping:
        return this.#say(FRAME_TYPE.pong, frame.id, NOTHING);
      case FRAME_TYPE.pong:
        return this.#gauge(frame, nowMs);
      case FRAME_TYPE.hello:
      case FRAME_TYPE.welcome:
      case FRAME_TYPE.refusal:
        throw new FrameError("garbage", "no second handshake", `a frame of type ${frame.type}`);
    }
  }

  #serve({ id, budgetMs, message }: Frame, nowMs: number, underWayMs: number): void {
    const { telemetry } = this.#context;
    const restMs = budgetMs - underWayMs;
    this.#usedMs = nowMs;
    if (restMs <= 0) {
      // A sender whose machine slept seems late until it answers.
      if (this.#ping === undefined) this.#sendPing(nowMs);
      return telemetry.count("annulus.transport.expired_requests");
    }
    const handler = this.#context.handler();
    if (handler === undefined) return this.#say(FRAME_TYPE.reply, id, encodeReply(STOPPING));
    if (this.#isFull()) return this.#refuse(id, this.#overloaded());
    let request: Request;
    try {
      request = decodeRequest(message);
    } catch (error) {
      return this.#refuse(id, error);
    }
    this.#serving++;
    handler(this.peer, request, restMs).then(
      (reply) => this.#answer(id, reply),
      (error: unknown) => {
        this.#served();
        this.#refuse(id, error);
      },
    );
  }

  #sendPing(nowMs: number): void {
    this.#pings = (this.#pings % PINGS) + 1;
    this.#ping = { id: this.#pings, sentMs: nowMs };
    this.#say(FRAME_TYPE.ping, this.#pings, NOTHING);
  }

  #gauge({ id, sentMs }: Frame, nowMs: number): void {
    if (this.#ping?.id !== id) return;
    this.#delays.answered(this.#ping.sentMs, sentMs, nowMs);
    this.#ping = undefined;
  }

  #answer(id: number, reply: Reply): void {
    this.#served();
    try {
      if (reply.kind !== "merged" && this.#isFull()) throw this.#overloaded();
      this.#say(FRAME_TYPE.reply, id, encodeReply(reply));
    } catch (error) {
      this.#refuse(id, error, "unknown"); // What the reply tells of has been done, only the reply cannot be sent.
    }
  }

  /** A failed assertion is no answer: it goes on to stop the process. */
  #refuse(id: number, error: unknown, outcome?: FailureReply["outcome"]): void {
    if (!(error instanceof KvError)) throw error;
    const failure: Reply = {
      kind: "failure",
      code: error.code,
      message: error.message,
      outcome: outcome ?? error.outcome,
    };
    this.#say(FRAME_TYPE.reply, id, encodeReply(failure));
  }

  #served(): void {
    this.#serving--;
    if (this.#paused) this.#resumeIfPossible();
    if (this.#whenQuiet !== undefined) this.#tellIfQuiet();
  }

  #say(type: (typeof FRAME_TYPE)["ping" | "pong" | "reply"], id: number, message: readonly unknown[]): void {
    if (this.#over) return;
    this.#writer.append(type, id, 0, message, this.#context.time.monotonicMs());
    // Even refusals add up for a peer that goes on asking and takes none of them.
    const isOver = this.outgoingBytes > outgoingBytesEnd(this.#context.limits);
    if (isOver) return this.close("it does not take its replies");
    this.#flushSoon();
  }

  #match({ id, message }: Frame): void {
    const waiting = this.#inFlight.take(id);
    // Its request has timed out, or the network gave it twice.
    if (waiting === undefined) return this.#context.telemetry.count("annulus.transport.late_replies");
    let reply: Reply;
    try {
      reply = decodeReply(message);
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      this.#context.telemetry.count("annulus.transport.broken_replies");
      return waiting.reject(this.#lost(error.message, error));
    }
    if (reply.kind === "failure") waiting.reject(new KvError(reply.code, reply.message, { outcome: reply.outcome }));
    else waiting.resolve(reply);
    if (this.#whenQuiet !== undefined) this.#tellIfQuiet();
  }

  #expire({ reject }: Waiting): void {
    this.#context.telemetry.count("annulus.transport.timed_out_requests");
    const message = `Cannot tell what became of a request to ${this.peer.name}: no reply came in time`;
    reject(new KvError("TIMED_OUT", message, { outcome: "unknown" }));
    if (this.#whenQuiet !== undefined) this.#tellIfQuiet();
  }

  #end(why: string): void {
    this.#over = true;
    for (const { reject } of this.#inFlight.takeAll()) reject(this.#lost(why));
    this.#whenQuiet?.();
    this.#whenQuiet = undefined;
    this.#ended(this, why);
  }

  #lost(why: string, cause?: unknown): KvError {
    const message = `Cannot tell what became of a request to ${this.peer.name}: the link broke after it was sent: ${why}`;
    return new KvError("PEER_UNREACHABLE", message, { outcome: "unknown", cause });
  }

  #isQuiet(): boolean {
    return this.#inFlight.size === 0 && this.#serving === 0;
  }

  #tellIfQuiet(): void {
    if (!this.#isQuiet()) return;
    this.#whenQuiet?.();
    this.#whenQuiet = undefined;
  }
}

const STOPPING: FailureReply = {
  kind: "failure",
  code: "NOT_READY",
  message: "Cannot answer: this node is stopping",
  outcome: "none",
};
