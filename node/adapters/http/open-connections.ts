/**
 * The open connections of one server, and room among them for whoever comes.
 *
 * Whoever holds connections and asks for nothing must keep nobody out: not clients, and not the probes of the admin port, without which
 * a node is taken for dead. So beyond the limit the connection on which nothing was asked for longest makes room; one with a request
 * in work never does. Where all have one, whoever comes is closed.
 */
import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** A connection, from before its TLS handshake on. */
type Open = {
  /** Carries requests: the TLS socket once there is one. */
  socket: Socket;
  /** When it last began something: a place in the order of all such moments. */
  used: number;
  /** Requests so far. */
  requests: number;
};

/** Listens to its server from the start, and has none open at first. */
export class OpenConnections {
  readonly #max: number;
  readonly #refused: () => void;
  readonly #byTransport = new Map<Socket, Open>();
  readonly #bySocket = new WeakMap<Socket, Open>();
  /** Only of a TLS server, which hands another socket over once it is secure. */
  readonly #byEnds: Map<string, Open> | undefined;
  #moments = 0;

  /** @param refused Told of each connection that is closed for want of room. */
  constructor(server: Server, options: { readonly max: number; readonly isSecure: boolean }, refused: () => void) {
    this.#max = options.max;
    this.#refused = refused;
    this.#byEnds = options.isSecure ? new Map() : undefined;
    server.on("connection", (transport: Socket) => this.#opened(transport));
    if (options.isSecure) server.on("secureConnection", (socket: Socket) => this.#secured(socket));
  }

  /** Notes a request; gives how many there were on its connection, itself among them. */
  asked(socket: Socket): number {
    const open = this.#bySocket.get(socket);
    // A connection that was closed meanwhile: nobody counts on it.
    if (open === undefined) return 1;
    open.used = ++this.#moments;
    open.requests += 1;
    return open.requests;
  }

  /** Closes those on which nothing was ever said: whoever opened one loses nothing. */
  destroySilent(): void {
    for (const [transport, { socket }] of this.#byTransport) if (socket.bytesRead === 0) transport.destroy();
  }

  destroyAll(): void {
    for (const transport of this.#byTransport.keys()) transport.destroy();
  }

  #opened(transport: Socket): void {
    if (this.#byTransport.size >= this.#max && !this.#makeRoom()) {
      this.#refused();
      transport.destroy();
      return;
    }
    const open: Open = { socket: transport, used: ++this.#moments, requests: 0 };
    const ends = endsOf(transport);
    this.#byTransport.set(transport, open);
    this.#bySocket.set(transport, open);
    this.#byEnds?.set(ends, open);
    transport.once("close", () => {
      this.#byTransport.delete(transport);
      if (this.#byEnds?.get(ends) === open) this.#byEnds.delete(ends);
    });
  }

  #secured(socket: Socket): void {
    const open = this.#byEnds?.get(endsOf(socket));
    if (open === undefined) return;
    open.socket = socket;
    this.#bySocket.set(socket, open);
  }

  #makeRoom(): boolean {
    let idlest: readonly [transport: Socket, open: Open] | undefined;
    for (const entry of this.#byTransport) {
      if (!isBusy(entry[1].socket) && entry[1].used < (idlest?.[1].used ?? Number.POSITIVE_INFINITY)) idlest = entry;
    }
    if (idlest === undefined) return false;
    this.#byTransport.delete(idlest[0]);
    this.#refused();
    idlest[0].destroy();
    return true;
  }
}

/**
 * Whether a request is in work; one whose answer is ready, and waits for its client to take it, is not. Node has no public name for "the
 * response that this connection waits for".
 */
function isBusy(socket: Socket): boolean {
  const { _httpMessage: response } = socket as Socket & { readonly _httpMessage?: ServerResponse | null };
  return response?.writableEnded === false;
}

function endsOf({ localAddress, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${remoteAddress} ${remotePort}`;
}
