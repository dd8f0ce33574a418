import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "@jest/globals";
import { ClosedLoop } from "./closed-loop.ts";
import { eachKey, type KeySpace, kvExchange, newCounts } from "./exchanges.ts";
import { History } from "./history.ts";
import { seededUniform, uniformKeys, zipfianKeys } from "./keys.ts";

const VALUE_BYTES = 100;

/** A history of ten keys with shorthands for what its tests do. */
function history() {
  const checked = new History(1, 10);
  const valueFor = (write: number): Buffer => {
    const value = Buffer.alloc(VALUE_BYTES);
    checked.fill(value, 0, write);
    return value;
  };
  const begin = (key = 3): number => checked.beginWrite(key, VALUE_BYTES);
  const written = (key = 3): number => {
    const write = begin(key);
    checked.acknowledged(write);
    return write;
  };
  return { checked, valueFor, begin, written };
}

describe("the history of a load", () => {
  it("takes the last acknowledged value for fresh and the one before for stale", () => {
    const { checked, valueFor, written } = history();
    const [first, second] = [written(), written()];
    const floor = checked.beginRead(3);
    expect(checked.check(3, floor, [valueFor(second)])).toBe("fresh");
    expect(checked.check(3, floor, [valueFor(first)])).toBe("stale");
    expect(checked.check(3, floor, [])).toBe("stale");
  });

  it("takes a value or none for fresh when nothing was acknowledged before the read", () => {
    const { checked, valueFor, begin } = history();
    const inFlight = begin();
    const floor = checked.beginRead(3);
    expect(checked.check(3, floor, [])).toBe("fresh");
    expect(checked.check(3, floor, [valueFor(inFlight)])).toBe("fresh");
  });

  it("lets either of two concurrent writes win", () => {
    const { checked, valueFor, begin } = history();
    const [first, second] = [begin(), begin()];
    checked.acknowledged(second);
    checked.acknowledged(first);
    const floor = checked.beginRead(3);
    expect(checked.check(3, floor, [valueFor(first)])).toBe("fresh");
    expect(checked.check(3, floor, [valueFor(second)])).toBe("fresh");
  });

  it("judges a read by what was acknowledged before it began, not before it ended", () => {
    const { checked, valueFor, written } = history();
    const first = written();
    const floor = checked.beginRead(3);
    written();
    expect(checked.check(3, floor, [valueFor(first)])).toBe("fresh");
  });

  it("takes siblings for fresh when one of them is", () => {
    const { checked, valueFor, written } = history();
    const [first, second] = [written(), written()];
    const floor = checked.beginRead(3);
    expect(checked.check(3, floor, [valueFor(first), valueFor(second)])).toBe("fresh");
  });

  it("lets a write with an unknown outcome surface later, but not after it was ended", () => {
    const { checked, valueFor, begin, written } = history();
    const lost = begin();
    checked.unknown(lost);
    written();
    expect(checked.check(3, checked.beginRead(3), [valueFor(lost)])).toBe("fresh");
    checked.endUnknown();
    expect(checked.check(3, checked.beginRead(3), [valueFor(lost)])).toBe("fresh");
    written();
    expect(checked.check(3, checked.beginRead(3), [valueFor(lost)])).toBe("stale");
  });

  it("finds a refused write, another key's value, a changed byte and a cut value wrong", () => {
    const { checked, valueFor, begin, written } = history();
    const refused = begin();
    checked.refused(refused);
    expect(checked.check(3, 0, [valueFor(refused)])).toBe("wrong");
    expect(checked.check(3, 0, [valueFor(written(4))])).toBe("wrong");
    const value = valueFor(written());
    expect(checked.check(3, 0, [value.subarray(0, VALUE_BYTES - 1)])).toBe("wrong");
    value[VALUE_BYTES - 1] = (value[VALUE_BYTES - 1] ?? 0) ^ 1;
    expect(checked.check(3, 0, [value])).toBe("wrong");
    const neverBegun = Buffer.from(valueFor(written()));
    neverBegun.writeUInt32BE(1_000_000, 8);
    expect(checked.check(3, 0, [neverBegun])).toBe("wrong");
  });

  it("remembers more writes than it first had room for", () => {
    const { checked, valueFor, written } = history();
    const writes = Array.from({ length: 5000 }, () => written());
    const last = writes.at(-1) ?? 0;
    expect(checked.check(3, checked.beginRead(3), [valueFor(last)])).toBe("fresh");
    expect(checked.check(3, checked.beginRead(3), [valueFor(writes[0] ?? 0)])).toBe("stale");
  });
});

describe("the choice of keys", () => {
  it("draws the most popular zipfian key as often as the law says, and all keys within bounds", () => {
    const keyCount = 1000;
    const draws = 200_000;
    const choose = zipfianKeys(keyCount, seededUniform(5));
    const counts = new Map<number, number>();
    for (let draw = 0; draw < draws; draw++) {
      const key = choose();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    const zeta = Array.from({ length: keyCount }, (_, rank) => (rank + 1) ** -0.99).reduce((sum, term) => sum + term);
    const shares = [...counts.values()].map((count) => count / draws).sort((a, b) => b - a);
    expect(Math.abs((shares[0] ?? 0) - 1 / zeta)).toBeLessThan(0.01);
    expect(Math.abs((shares[1] ?? 0) - 2 ** -0.99 / zeta)).toBeLessThan(0.01);
    expect([...counts.keys()].every((key) => Number.isInteger(key) && key >= 0 && key < keyCount)).toBe(true);
    expect(counts.size).toBeGreaterThan(keyCount * 0.9);
  });

  it("repeats itself for the same seed only", () => {
    const sequence = (seed: number): number[] => {
      const choose = uniformKeys(1_000_000, seededUniform(seed));
      return Array.from({ length: 20 }, () => choose());
    };
    expect(sequence(1)).toEqual(sequence(1));
    expect(sequence(1)).not.toEqual(sequence(2));
  });
});

/** A store of one process that answers reads `lag` writes behind. */
async function withLaggingStore(lag: number, use: (port: number) => Promise<void>): Promise<void> {
  const versions = new Map<string, Buffer[]>();
  const server = createServer((request, response) => {
    const url = request.url ?? "";
    const held = versions.get(url) ?? [];
    if (request.method === "GET") {
      const value = held.at(-1 - lag) ?? held.at(0);
      response.writeHead(value === undefined ? 404 : 200, { "Content-Length": value?.length ?? 0 }).end(value);
      return;
    }
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      versions.set(url, [...held, Buffer.concat(chunks)]);
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await use((server.address() as AddressInfo).port);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

describe("a closed loop over a store", () => {
  const space = (): KeySpace => ({
    prefix: "t-",
    history: new History(2, 50),
    valueBytes: VALUE_BYTES,
    counts: newCounts(),
  });
  const everyKey = async (port: number, target: KeySpace, kind: "read" | "write") => {
    const source = eachKey(kind, Array(50).keys());
    const exchange = () => kvExchange(target, source);
    const loop = new ClosedLoop({ ports: [port], connections: 4, exchange, reconnect: false });
    await loop.done;
    return loop.takeFigures();
  };

  it("finds nothing wrong with a store that gives the last value", async () => {
    await withLaggingStore(0, async (port) => {
      const target = space();
      for (const kind of ["read", "write", "write", "read"] as const) {
        expect(await everyKey(port, target, kind)).toMatchObject({ operations: 50, errors: 0 });
      }
      expect(target.history.acknowledgedCount).toBe(100);
    });
  });

  it("finds every stale answer of a store that lags one write behind", async () => {
    await withLaggingStore(1, async (port) => {
      const target = space();
      for (const kind of ["write", "write"] as const) await everyKey(port, target, kind);
      expect(await everyKey(port, target, "read")).toMatchObject({ operations: 50, errors: 50 });
      expect(target.counts).toMatchObject({ stale: 50, wrong: 0 });
    });
  });
});
