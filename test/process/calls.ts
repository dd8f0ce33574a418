/** HTTP requests of one client of a faulty cluster: each ends in time, and says whether it can have reached the node. */
import { Agent, request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { request as httpsRequest, Agent as SecureAgent } from "node:https";

export type Endpoint = {
  readonly host: string;
  readonly dataPort: number;
  /** How the data port is spoken to where it speaks TLS, PEM; absent where it is plain. */
  readonly tls?: {
    readonly ca: string;
    /** The name that the node's certificate must hold. */
    readonly servername: string;
    /** What the client shows of itself. */
    readonly cert?: string;
    readonly key?: string;
  };
};

export type Called =
  | {
      readonly kind: "answered";
      readonly status: number;
      readonly headers: IncomingHttpHeaders;
      readonly body: Buffer;
    }
  /** `isSent`: a connection stood, so that the node may have read the request. */
  | { readonly kind: "silent"; readonly isSent: boolean; readonly why: string };

export type Call = {
  readonly method: "GET" | "PUT" | "DELETE";
  /** After `/v1/kv/`, percent-encoded, query included. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
};

/** The connections of one client, kept between requests. */
export class Caller {
  readonly #agent = new Agent({ keepAlive: true });
  readonly #secureAgent = new SecureAgent({ keepAlive: true });
  readonly #patienceMs: number;

  /** @param patienceMs How long an answer may take, connecting included. */
  constructor(patienceMs: number) {
    this.#patienceMs = patienceMs;
  }

  call({ host, dataPort, tls }: Endpoint, { method, path, headers, body }: Call): Promise<Called> {
    return new Promise((resolve) => {
      let isSent = false;
      const [requestOver, agent] = tls === undefined ? [httpRequest, this.#agent] : [httpsRequest, this.#secureAgent];
      const request = requestOver(
        { host, port: dataPort, method, path: `/v1/kv/${path}`, agent, headers: { ...headers }, ...tls },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("error", (error) => silent(error.message));
          response.on("end", () => {
            clearTimeout(timer);
            const { statusCode: status = 0, headers: answered } = response;
            resolve({ kind: "answered", status, headers: answered, body: Buffer.concat(chunks) });
          });
        },
      );
      const silent = (why: string): void => {
        clearTimeout(timer);
        resolve({ kind: "silent", isSent, why });
      };
      const timer = setTimeout(() => {
        silent(`no answer within ${this.#patienceMs} ms`);
        request.destroy();
      }, this.#patienceMs);
      request.on("socket", (socket) => {
        if (!socket.connecting) isSent = true;
        else
          socket.once("connect", () => {
            isSent = true;
          });
      });
      request.on("error", (error) => silent(error.message));
      request.end(body);
    });
  }

  /** Closes its connections. */
  close(): void {
    this.#agent.destroy();
    this.#secureAgent.destroy();
  }
}
