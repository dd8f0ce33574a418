/** The network of production: wires over `node:net`. */
import { createServer, type OnReadOpts, type Server, Socket } from "node:net";
import { Names } from "./names.ts";
import type { ListenAddress, Listener, Network, Wire, WireEvents } from "./wire.ts";

/** After this long without traffic the operating system probes the connection, in ms. */
export const KEEP_ALIVE_MS = 15_000;
/** What is left to send when a connection ends is given up after this long without progress, in ms. */
export const END_TIMEOUT_MS = 5_000;
/** Connections that the operating system holds for this process before it has accepted them. */
const BACKLOG = 511;

/** Sockets of this machine. */
export function socketNetwork(): Network {
  const names = new Names();
  return {
    listen,
    dial: (address) => new DialledWire(address, names),
    afterTurn: (run) => void setImmediate(run),
  };
}

function listen(address: ListenAddress, accepted: (wire: Wire) => void): Promise<Listener> {
  return listenForSockets(address, (socket) => accepted(new AcceptedWire(socket)));
}

/** Listens for connections of any kind. Rejects when the address cannot be listened on. */
export function listenForSockets({ host, port }: ListenAddress, accepted: (socket: Socket) => void): Promise<Listener> {
  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
  server.on("connection", accepted);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.removeListener("error", reject);
      // From here on an error is one connection that could not be accepted, for want of file descriptors for instance;
      // the peer sees it fail and tries again.
      server.on("error", () => {});
      resolve({ address: { host, port: portOf(server, port) }, close: () => void server.close() });
    });
  });
}

class SocketWire implements Wire {
  readonly remote: string;
  protected readonly socket: Socket;
  #events: WireEvents = DEAF;
  #error: Error | undefined;
  protected readonly heard = (chunk: Uint8Array) => this.#events.data(chunk);
  readonly #written = () => {
    if (this.socket.writableLength === 0) this.#events.drained();
  };

  constructor(socket: Socket, remote: string) {
    this.socket = socket;
    this.remote = remote;
    socket.on("connect", () => this.#events.connected());
    socket.on("error", (error) => {
      this.#error = error;
    });
    socket.on("close", () => this.#events.closed(this.#error));
  }

  attach(events: WireEvents): void {
    this.#events = events;
  }

  write(chunk: Uint8Array): boolean {
    this.socket.write(chunk, this.#written);
    // The socket counts bytes until the operating system has copied them, which is at once when it has room.
    return this.socket.writableLength === 0;
  }

  queuedBytes(): number {
    return this.socket.writableLength;
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  objection(): undefined {}

  end(): void {
    this.socket.destroySoon();
    // A peer that takes nothing may not keep the rest of it, and this process, for ever.
    this.socket.setTimeout(END_TIMEOUT_MS, () => this.socket.destroy());
  }

  destroy(): void {
    this.socket.destroy();
  }
}

class AcceptedWire extends SocketWire {
  constructor(socket: Socket) {
    super(socket, remoteOf(socket));
    // A server's sockets cannot be told to read into a buffer of ours.
    socket.on("data", this.heard);
  }
}

/** A plain connection to an address. */
export class DialledWire extends SocketWire {
  constructor(address: string, names: Names) {
    // These are options of a socket: `connect` takes no notice of them.
    const socket = new Socket({
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
      onread: readTogether((chunk) => this.heard(chunk)),
    });
    super(socket, address);
    const target = parseAddress(address);
    if (target === undefined) {
      socket.destroy(new Error(`expected an address host:port, found ${JSON.stringify(address)}`));
      return;
    }
    socket.connect({ ...target, lookup: names.lookup });
  }
}

const RECEIVED_BYTES = 64 * 1_024;
/** What any dialled socket reads into; emptied in the turn in which it was filled. */
const received = new Uint8Array(RECEIVED_BYTES);

/**
 * How a dialled socket, plain or TLS, is to read: into one buffer for all of them, from which each chunk is copied.
 * Left alone, a plain socket allocates 64 KiB for each read and gives back what it did not fill, and a TLS socket
 * allocates what it has decrypted each time; both cost more than copying a few messages.
 *
 * @param heard Gets each chunk, and may keep it.
 */
export function readTogether(heard: (chunk: Uint8Array) => void): OnReadOpts {
  const slab = new Slab();
  return {
    buffer: received,
    callback: (bytes, buffer) => {
      heard(slab.copy(buffer, bytes));
      return true;
    },
  };
}

/** Gives what was received a place of its own, many pieces in one allocation. */
class Slab {
  #free = EMPTY;

  copy(source: Uint8Array, bytes: number): Uint8Array {
    if (this.#free.length < bytes) this.#free = new Uint8Array(Buffer.allocUnsafeSlow(RECEIVED_BYTES).buffer);
    const place = this.#free.subarray(0, bytes);
    this.#free = this.#free.subarray(bytes);
    place.set(bytes === source.length ? source : source.subarray(0, bytes));
    return place;
  }
}

const EMPTY = new Uint8Array(0);

/** Whom a wire tells that nobody listens to. */
export const DEAF: WireEvents = { connected() {}, data() {}, drained() {}, closed() {} };

function portOf(server: Server, asked: number): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : asked;
}

/** Where the other end of an accepted socket is. */
export function remoteOf(socket: Socket): string {
  return `${socket.remoteAddress ?? "an unknown address"}:${socket.remotePort ?? 0}`;
}

/** Splits `host:port` or `[v6]:port`. */
export function parseAddress(address: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^:\s[\]]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > 65_535 || port < 1 ? undefined : { host, port };
}
