/**
 * The network of production where members show each other certificates: wires over TLS 1.3, both ends checked.
 *
 * OpenSSL judges the certificate, but its verdict is not acted upon in the TLS handshake, where neither side knows yet
 * whom it has before it: it becomes an objection, which the greeting asks for once it has read the peer's name. So a
 * refusal names the member that was refused, on both sides, and reaches the other in words (greeting.ts).
 *
 *   accepted:  first byte ── 0x16, a TLS record ──> TLS handshake ──> hello
 *                  └──────── 0, a frame's length ──────────────────────> hello, to which there is an objection
 *   dialled:   TLS handshake ──> hello
 *                  └─ "allow" and the other end knows no TLS ──> plain connection ──> hello
 *
 * A rotation gives new connections another identity; those that stand were checked when they were made, and stay.
 */
import type { X509Certificate } from "node:crypto";
import { Socket } from "node:net";
import {
  connect as connectTls,
  createServer as createTlsServer,
  type TLSSocket,
  type Server as TlsServer,
} from "node:tls";
import type { Credentials } from "../tls/credentials.ts";
import { certifies, TLS_VERSION_MIN } from "../tls/identity.ts";
import { Names } from "./names.ts";
import {
  DEAF,
  DialledWire,
  END_TIMEOUT_MS,
  KEEP_ALIVE_MS,
  listenForSockets,
  parseAddress,
  readTogether,
  remoteOf,
} from "./sockets.ts";
import { InsecureWireError, type Listener, type Network, type Objection, type Wire, type WireEvents } from "./wire.ts";

/** How the members of a cluster know each other. */
export type PeerTls = {
  readonly credentials: Credentials;
  /** `require` refuses a peer without a certificate of its name; `allow` lets it in and only tells of it. */
  readonly mode: "allow" | "require";
  /** The DNS name that must stand in the certificate of the member of this name. */
  readonly certifiedName: (member: string) => string;
};

/** The first byte of a TLS handshake. A frame begins with its length, which is below 2^24. */
const TLS_HANDSHAKE_BYTE = 0x16;
/** Chunks up to this size are copied when they are written. */
const COPIED_BYTES_MAX = 16 * 1_024;
/** Longer than the transport gives a handshake, which ends it first. */
const TLS_HANDSHAKE_TIMEOUT_MS = 60_000;

/** Sockets of this machine, secured as `tls` says. */
export function secureNetwork(tls: PeerTls): Network {
  const names = new Names();
  return {
    listen: async (address, accepted) => {
      const acceptor = new TlsAcceptor(tls);
      return closing(await listenForSockets(address, (socket) => accepted(acceptor.accept(socket))), () =>
        acceptor.close(),
      );
    },
    dial: (address) => {
      const target = parseAddress(address);
      // The plain wire says what is wrong with the address.
      if (target === undefined) return new DialledWire(address, names);
      return new DialledSecureWire(tls, address, target, names);
    },
    afterTurn: (run) => void setImmediate(run),
  };
}

function closing({ address, close }: Listener, alsoClose: () => void): Listener {
  return {
    address,
    close() {
      close();
      alsoClose();
    },
  };
}

/** Makes accepted connections secure. The server of `node:tls` that does it listens nowhere itself. */
class TlsAcceptor {
  readonly #tls: PeerTls;
  readonly #server: TlsServer;
  /** Those whose TLS handshake is under way, by both ends of the connection: the server gives another socket back. */
  readonly #shaking = new Map<string, AcceptedWire>();
  #isOpen = true;

  constructor(tls: PeerTls) {
    this.#tls = tls;
    this.#server = createTlsServer({
      ...tls.credentials.current().options,
      requestCert: true,
      rejectUnauthorized: false, // Judged by the greeting, see above.
      handshakeTimeout: TLS_HANDSHAKE_TIMEOUT_MS,
    });
    tls.credentials.onChange(({ options }) => {
      if (this.#isOpen) this.#server.setSecureContext(options);
    });
    this.#server.on("secureConnection", (socket) => {
      const wire = this.#shaking.get(endsOf(socket));
      if (wire === undefined) socket.destroy();
      else wire.secured(socket);
    });
    this.#server.on("tlsClientError", (error, socket) => this.#shaking.get(endsOf(socket))?.failed(error));
  }

  accept(socket: Socket): Wire {
    const ends = endsOf(socket);
    const wire = new AcceptedWire(this.#tls, socket, () => {
      this.#shaking.set(ends, wire);
      this.#server.emit("connection", socket);
    });
    socket.once("close", () => this.#shaking.delete(ends));
    return wire;
  }

  close(): void {
    this.#isOpen = false;
  }
}

function endsOf({ localAddress, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${remoteAddress} ${remotePort}`;
}

/** What both kinds of wire share: one socket, plain at first, that may be exchanged for the TLS socket over it. */
abstract class SecurableWire implements Wire {
  readonly remote: string;
  protected readonly tls: PeerTls;
  protected events: WireEvents = DEAF;
  #socket: Socket;
  #secure: TLSSocket | undefined;
  /** Asked of the socket once: on the dialling side it forgets the certificate as it gives it. */
  #certificate: X509Certificate | undefined;
  #error: Error | undefined;
  readonly #written = () => {
    if (this.#socket.writableLength === 0) this.events.drained();
  };

  constructor(tls: PeerTls, socket: Socket, remote: string) {
    this.tls = tls;
    this.remote = remote;
    this.#socket = socket;
    this.#listen(socket);
  }

  attach(events: WireEvents): void {
    this.events = events;
  }

  write(chunk: Uint8Array): boolean {
    // A TLS socket has never done with a chunk at once. A copy of a few messages costs less than that the caller, whose
    // chunks are large, makes another one each turn.
    if (chunk.length <= COPIED_BYTES_MAX) {
      this.#socket.write(Buffer.from(chunk));
      return true;
    }
    this.#socket.write(chunk, this.#written);
    return this.#socket.writableLength === 0;
  }

  queuedBytes(): number {
    return this.#socket.writableLength;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    const socket = this.#socket;
    socket.destroySoon();
    socket.setTimeout(END_TIMEOUT_MS, () => socket.destroy());
  }

  destroy(): void {
    this.#socket.destroy();
  }

  objection(name: string | undefined): Objection | undefined {
    const detail = this.#objectionTo(name);
    return detail === undefined ? undefined : { detail, isBinding: this.tls.mode === "require" };
  }

  /** The TLS handshake broke off. */
  failed(error: Error): void {
    this.#error ??= isTlsError(error) ? new InsecureWireError(`the TLS handshake failed: ${error.message}`) : error;
  }

  /** Goes on over another socket. */
  protected take(socket: Socket): void {
    this.#socket = socket;
    this.#error = undefined;
    this.#listen(socket);
  }

  /** The socket is secure. */
  protected enter(socket: TLSSocket): void {
    this.#secure = socket;
    this.#certificate = socket.getPeerX509Certificate();
  }

  /** Called when the socket is gone, unless another one was taken; gives whether that is the end. */
  protected abstract lost(): boolean;

  #listen(socket: Socket): void {
    socket.on("error", (error) => {
      if (this.#socket === socket) this.failed(error);
    });
    socket.on("close", () => {
      if (this.#socket === socket && this.lost()) this.events.closed(this.#error);
    });
  }

  #objectionTo(name: string | undefined): string | undefined {
    const secure = this.#secure;
    if (secure === undefined) return "expected a TLS connection, found a plain one";
    const certificate = this.#certificate;
    if (certificate === undefined) return "expected a certificate of this cluster's authority, found none";
    if (!secure.authorized) {
      const found = `one with which something is wrong (${secure.authorizationError})`;
      return `expected a certificate of this cluster's authority, found ${found}`;
    }
    if (name === undefined) return undefined;
    const certified = this.tls.certifiedName(name);
    if (certifies(certificate, certified)) return undefined;
    return `expected a certificate for ${certified}, found one for ${certificate.subjectAltName ?? "no name"}`;
  }
}

class AcceptedWire extends SecurableWire {
  /** @param secure Begins the TLS handshake on the socket. */
  constructor(tls: PeerTls, socket: Socket, secure: () => void) {
    super(tls, socket, remoteOf(socket));
    socket.once("data", (first) => {
      if (first[0] !== TLS_HANDSHAKE_BYTE) {
        socket.on("data", (chunk) => this.events.data(chunk));
        this.events.data(first);
        return;
      }
      socket.pause();
      socket.unshift(first);
      secure();
    });
  }

  secured(socket: TLSSocket): void {
    this.take(socket);
    this.enter(socket);
    // Who is refused here mostly refuses this side too, and leaves without a word.
    const objection = this.objection(undefined);
    if (objection?.isBinding === true) this.failed(new InsecureWireError(objection.detail));
    socket.on("data", (chunk) => this.events.data(chunk));
  }

  protected lost(): boolean {
    return true;
  }
}

/** Tries TLS first; in `allow`, a plain connection where the other end closes that one before it is secure. */
class DialledSecureWire extends SecurableWire {
  readonly #target: Target;
  readonly #names: Names;
  /** Whether the other end may be one that knows no TLS: somebody listens, and closed before the TLS handshake ended. */
  #mayBePlain = false;
  #isOver = false;

  constructor(tls: PeerTls, address: string, target: Target, names: Names) {
    // `onread` is documented for `connect` and missing in its type, which the literal may not exceed but a variable may.
    const options = {
      ...target,
      lookup: names.lookup,
      secureContext: tls.credentials.current().context,
      minVersion: TLS_VERSION_MIN,
      rejectUnauthorized: false, // Judged by the greeting, see above: by the member's name, not by the host's.
      checkServerIdentity: () => undefined,
      onread: readTogether((chunk) => this.events.data(chunk)),
    } as const;
    const socket = connectTls(options);
    super(tls, socket, address);
    this.#target = target;
    this.#names = names;
    this.#tune(socket);
    socket.once("connect", () => {
      this.#mayBePlain = tls.mode === "allow";
    });
    socket.once("secureConnect", () => {
      this.#mayBePlain = false;
      this.enter(socket);
      this.events.connected();
    });
  }

  override end(): void {
    this.#isOver = true;
    super.end();
  }

  override destroy(): void {
    this.#isOver = true;
    super.destroy();
  }

  protected lost(): boolean {
    if (!this.#mayBePlain || this.#isOver) return true;
    this.#mayBePlain = false;
    const socket = new Socket({ onread: readTogether((chunk) => this.events.data(chunk)) });
    this.take(socket);
    this.#tune(socket);
    socket.once("connect", () => this.events.connected());
    socket.connect({ ...this.#target, lookup: this.#names.lookup });
    return false;
  }

  #tune(socket: Socket): void {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
  }
}

type Target = { readonly host: string; readonly port: number };

/** Whether the two ends could not agree, as opposed to a connection that broke. */
function isTlsError(error: Error & { readonly code?: string }): boolean {
  return error.code?.startsWith("ERR_SSL_") === true || error.code?.startsWith("ERR_TLS_") === true;
}
