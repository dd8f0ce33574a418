/**
 * Runs the handshake on one connection, from either side, within its deadline.
 *
 *   dialling:  connecting ──connected──> greeted (hello sent) ──welcome──> linked
 *   accepting: waiting ──hello──> judged ──> linked (welcome sent) or refused
 *
 * Ends exactly once: linked, refused by one of the two, failed, or abandoned by its owner (who then hears nothing).
 * A linked wire is handed on together with its reader, which may hold the peer's first requests already.
 */
import { KvError } from "../../core/errors.ts";
import type { MemberId } from "../../core/ring/document.ts";
import type { Time, Timer } from "../../ports.ts";
import { FRAME_TYPE, type Frame, FrameReader, type FrameType, FrameWriter } from "./frame.ts";
import {
  decodeHello,
  decodeRefusal,
  encodeHello,
  encodeRefusal,
  type Hello,
  isRefusal,
  judgeHello,
  type Refusal,
  type Role,
  refusedCertificate,
} from "./handshake.ts";
import type { TransportLimits } from "./limits.ts";
import { InsecureWireError, type Network, type Wire, type WireEvents } from "./wire.ts";

export type GreetingResult =
  | {
      readonly kind: "linked";
      readonly hello: Hello;
      readonly wire: Wire;
      readonly reader: FrameReader;
      /** When this side said its hello or welcome, by its monotonic clock. */
      readonly saidMs: number;
      /** What would speak against the peer if certificates were required. */
      readonly objection: string | undefined;
    }
  /** `name` is who the other side says it is, where it said so in a way that can be read. */
  | { readonly kind: "refused"; readonly refusal: Refusal; readonly name: string | undefined }
  | { readonly kind: "failed"; readonly error: Error };

export type Greeting = {
  /** Whether this side's hello is on its way, so that the peer may have answered it. */
  greeted(): boolean;
  /** Closes the connection without a result. */
  abandon(): void;
  /** Closes the connection; the result is that it failed, for this reason. */
  fail(why: string): void;
};

/** What every handshake of one transport shares. */
export type GreetingContext = {
  readonly time: Time;
  readonly limits: TransportLimits;
  readonly self: { readonly clusterId: string; readonly name: MemberId; readonly instance: string };
  /** This side's next hello or welcome, with a sequence number of its own. */
  readonly introduce: (role: Role, expects: MemberId | undefined) => Hello;
};

/**
 * Connects and says hello.
 *
 * @param meant The member that must answer, or undefined when only the address is known.
 */
export function greetByDialling(
  context: GreetingContext,
  network: Network,
  target: { readonly address: string; readonly meant: MemberId | undefined; readonly role: Role },
  report: (result: GreetingResult) => void,
): Greeting {
  let greeted = false;
  const wire = network.dial(target.address);
  const talk = new Talk(
    context,
    wire,
    report,
    {
      connected() {
        const objection = wire.objection(target.meant);
        if (objection?.isBinding === true) return talk.refused(refusedCertificate(objection.detail), target.meant);
        greeted = true;
        talk.say(FRAME_TYPE.hello, encodeHello(context.introduce(target.role, target.meant)));
      },
      frame(frame) {
        if (frame.type === FRAME_TYPE.refusal) return talk.refused(decodeRefusal(frame.message), target.meant);
        if (frame.type !== FRAME_TYPE.welcome)
          return talk.fail(`expected a welcome, found a frame of type ${frame.type}`);
        const hello = decodeHello(frame.message);
        if (isRefusal(hello)) return talk.refused(hello, target.meant);
        const objection = certificateRefusal(wire, hello.name) ?? judgeHello(hello, context.self, target.meant);
        if (objection !== undefined) return talk.refused(objection, hello.name);
        talk.linked(hello);
      },
    },
    target.meant,
  );
  return { greeted: () => greeted, abandon: () => talk.abandon(), fail: (why) => talk.fail(why) };
}

/**
 * Waits for the hello of a connection that was accepted.
 *
 * @param admit Decides on a hello of this cluster meant for this member; a refusal is sent and the connection closed.
 */
export function greetByAccepting(
  context: GreetingContext,
  wire: Wire,
  admit: (hello: Hello) => Refusal | undefined,
  report: (result: GreetingResult) => void,
): Greeting {
  const talk = new Talk(context, wire, report, {
    connected() {},
    frame(frame) {
      if (frame.type !== FRAME_TYPE.hello) return talk.fail(`expected a hello, found a frame of type ${frame.type}`);
      const hello = decodeHello(frame.message);
      const name = isRefusal(hello) ? undefined : hello.name;
      const objection = isRefusal(hello)
        ? hello
        : (certificateRefusal(wire, hello.name) ?? judgeHello(hello, context.self, undefined) ?? admit(hello));
      if (objection !== undefined) {
        talk.say(FRAME_TYPE.refusal, encodeRefusal(objection));
        return talk.refused(objection, name);
      }
      if (isRefusal(hello)) return; // Unreachable: a refusal is an objection; the type does not say so.
      talk.say(FRAME_TYPE.welcome, encodeHello(context.introduce("member", hello.name)));
      talk.linked(hello);
    },
  });
  return { greeted: () => false, abandon: () => talk.abandon(), fail: (why) => talk.fail(why) };
}

function certificateRefusal(wire: Wire, name: MemberId): Refusal | undefined {
  const objection = wire.objection(name);
  return objection?.isBinding === true ? refusedCertificate(objection.detail) : undefined;
}

type Part = { connected(): void; frame(frame: Frame): void };

/** The wire, its first frame, its deadline, and the one result. */
class Talk implements WireEvents {
  readonly #wire: Wire;
  readonly #report: (result: GreetingResult) => void;
  readonly #part: Part;
  readonly #meant: MemberId | undefined;
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  readonly #deadline: Timer;
  readonly #time: Time;
  #saidMs = 0;
  #over = false;

  constructor(
    { time, limits }: GreetingContext,
    wire: Wire,
    report: (result: GreetingResult) => void,
    part: Part,
    meant?: MemberId,
  ) {
    this.#meant = meant;
    this.#time = time;
    this.#wire = wire;
    this.#report = report;
    this.#part = part;
    this.#reader = new FrameReader(limits.helloBytesMax);
    this.#writer = new FrameWriter(limits.helloBytesMax);
    const late = `expected a handshake within ${limits.helloTimeoutMs} ms, found none`;
    this.#deadline = time.after(limits.helloTimeoutMs, () => this.fail(late));
    wire.attach(this);
  }

  connected(): void {
    if (!this.#over) this.#part.connected();
  }

  data(chunk: Uint8Array): void {
    if (this.#over) return;
    let frame: Frame | undefined;
    try {
      this.#reader.push(chunk);
      frame = this.#reader.next();
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      return this.fail(error.message);
    }
    if (frame !== undefined) this.#part.frame(frame);
  }

  drained(): void {}

  closed(error: Error | undefined): void {
    if (error instanceof InsecureWireError) {
      return this.#end({ kind: "refused", refusal: refusedCertificate(error.message), name: this.#meant });
    }
    this.#end({ kind: "failed", error: unreachable(this.#wire, error?.message ?? "it closed the connection", error) });
  }

  say(type: FrameType, message: readonly unknown[]): void {
    this.#saidMs = this.#time.monotonicMs();
    this.#writer.append(type, 0, 0, message);
    this.#wire.write(this.#writer.take());
  }

  linked(hello: Hello): void {
    const objection = this.#wire.objection(hello.name)?.detail;
    this.#end({ kind: "linked", hello, wire: this.#wire, reader: this.#reader, saidMs: this.#saidMs, objection });
  }

  refused(refusal: Refusal, name: string | undefined): void {
    this.#wire.end();
    this.#end({ kind: "refused", refusal, name });
  }

  fail(why: string): void {
    if (this.#over) return;
    this.#wire.destroy();
    this.#end({ kind: "failed", error: unreachable(this.#wire, why, undefined) });
  }

  abandon(): void {
    this.#over = true;
    this.#deadline.cancel();
    this.#wire.destroy();
  }

  #end(result: GreetingResult): void {
    if (this.#over) return;
    this.#over = true;
    this.#deadline.cancel();
    this.#report(result);
  }
}

function unreachable(wire: Wire, why: string, cause: unknown): KvError {
  return new KvError("PEER_UNREACHABLE", `Cannot link with ${wire.remote}: ${why}`, { cause });
}
