/** Several nodes of which some hang: a server that takes connections and says nothing stands for a frozen process. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { NoAnswerError } from "../../node/client/no-answer-error.ts";
import { Nodes } from "../../node/client/nodes.ts";
import { closeServer, listenOnLoopback } from "../cli/loopback.ts";

/** Far longer than any test may take: nobody is waited for so long. */
const NEVER_MS = 600_000;
const CALL = { method: "GET", path: "/", timeoutMs: NEVER_MS } as const;

let hanging: Server;
let sound: Server;
let urls: string[];
let asked: string[];
let status: number;
let nodes: Nodes;

beforeEach(async () => {
  asked = [];
  status = 200;
  hanging = createServer(() => asked.push("hanging"));
  sound = createServer((_request, response) => {
    asked.push("sound");
    response.writeHead(status).end("here");
  });
  urls = [await listenOnLoopback(hanging), await listenOnLoopback(sound)];
  nodes = new Nodes({ urls, connectionsMax: 1, timeoutMs: NEVER_MS });
});
afterEach(async () => {
  nodes.close();
  await Promise.all([closeServer(hanging), closeServer(sound)]);
});

/** Asks until the one that hangs was asked: with whom it begins is drawn. */
async function askBoth(): Promise<void> {
  while (!asked.includes("hanging")) assert.equal((await nodes.soonest(CALL)).status, 200);
}

describe("the soonest answer of several nodes", () => {
  it("comes from the next one while the first still hangs", async () => {
    await askBoth();
    const from = asked.indexOf("hanging");
    assert.deepEqual(asked.slice(from, from + 2), ["hanging", "sound"]);
  });

  it("is asked of those last that did not answer before, whatever asks", async () => {
    await askBoth();
    assert.deepEqual(
      nodes.likeliest.map(({ url }) => url),
      [urls[1], urls[0]],
    );
    asked.length = 0;
    for (let time = 0; time < 4; time += 1) {
      await nodes.soonest(CALL);
      await nodes.attempt(CALL);
    }
    assert.deepEqual(asked, new Array(8).fill("sound"));
  });

  it("is known beforehand to come from others, where all were asked for a sign of life", async () => {
    await nodes.probe();
    assert.deepEqual(
      nodes.likeliest.map(({ url }) => url),
      [urls[1], urls[0]],
    );
  });

  it("is not waited for again and again by work that goes on", async () => {
    await nodes.probe();
    asked.length = 0;
    for (let time = 0; time < 8; time += 1) await nodes.persist(CALL, { forMs: 0 });
    assert.deepEqual(asked, new Array(8).fill("sound"));
  });

  it("is a refusal only where no other answers", async () => {
    status = 429;
    const busy = new Nodes({ urls: [urls[1] ?? "", urls[1] ?? ""], connectionsMax: 1, timeoutMs: NEVER_MS });
    assert.equal((await busy.soonest(CALL)).status, 429);
    assert.deepEqual(asked, ["sound", "sound"]);
    busy.close();
    status = 404;
    const passing = new Nodes({ urls: [urls[1] ?? "", "http://127.0.0.1:1"], connectionsMax: 1, timeoutMs: NEVER_MS });
    assert.equal((await passing.soonest(CALL, (answer) => answer.status === 404)).status, 404);
    passing.close();
  });

  it("is not that of a node that is in trouble by itself, unless all are; and then says what another may have done", async () => {
    const sick = createServer((_request, response) => {
      asked.push("sick");
      response.writeHead(503, { "kv-outcome": "unknown" }).end("starting");
    });
    const both = [await listenOnLoopback(sick), urls[1] ?? ""];
    const ask = async () => {
      asked.length = 0;
      const fresh = new Nodes({ urls: both, connectionsMax: 1, timeoutMs: NEVER_MS });
      const answer = await fresh.soonest(CALL);
      fresh.close();
      return answer;
    };
    try {
      for (let first = ""; first !== "sick"; first = asked[0] ?? "") assert.equal((await ask()).status, 200);
      for (status = 500; asked[0] !== "sound"; ) await ask();
      const { status: told, isDoubtful } = await ask();
      assert.ok(told === 503 || isDoubtful, "the unknown outcome is told, be it the other's");
      status = 429;
      const busy = await ask();
      assert.deepEqual([busy.status, asked.length], [503, 2]);
    } finally {
      await closeServer(sick);
    }
  });

  it("is in doubt where one that was asked before says nothing yet, for that one may do it", async () => {
    for (;;) {
      asked.length = 0;
      const fresh = new Nodes({ urls, connectionsMax: 1, timeoutMs: NEVER_MS });
      const answer = await fresh.soonest(CALL);
      fresh.close();
      assert.equal(answer.isDoubtful, asked[0] === "hanging");
      if (answer.isDoubtful) return;
    }
  });

  it("is an error where nobody answers in time", async () => {
    const alone = new Nodes({ urls: [urls[0] ?? ""], connectionsMax: 1, timeoutMs: NEVER_MS });
    await assert.rejects(alone.soonest({ ...CALL, timeoutMs: 50 }), NoAnswerError);
    alone.close();
  });
});

describe("a request without an answer", () => {
  const without = (code: string, syscall?: string, isStarted?: boolean) => {
    const cause = Object.assign(new Error(code), { code, ...(syscall === undefined ? {} : { syscall }) });
    const { isUnsent, isNobodyThere } = new NoAnswerError("http://n1", cause, isStarted);
    return [isUnsent, isNobodyThere];
  };

  it("was surely not sent where no connection came about, and may have arrived where one broke under it", () => {
    assert.deepEqual(without("ECONNREFUSED", "connect"), [true, true]);
    assert.deepEqual(without("ENOTFOUND", "getaddrinfo"), [true, true]);
    // All addresses of a name were tried.
    assert.deepEqual(without("ECONNREFUSED"), [true, true]);
    assert.deepEqual(without("EHOSTUNREACH", "connect"), [true, true]);
    assert.deepEqual(without("EHOSTUNREACH", "read"), [false, false]);
    assert.deepEqual(without("ENETUNREACH", "write"), [false, false]);
    assert.deepEqual(without("ETIMEDOUT"), [false, false]);
  });

  it("was surely not sent where it did not get a connection, though somebody may be there", () => {
    assert.deepEqual(without("ETIMEDOUT", undefined, false), [true, false]);
    assert.deepEqual(without("CERT_HAS_EXPIRED", undefined, false), [true, false]);
    assert.deepEqual(without("EHOSTUNREACH", undefined, true), [false, false]);
  });
});
