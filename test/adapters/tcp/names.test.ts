import assert from "node:assert/strict";
import type { LookupAddress } from "node:dns";
import { describe, it } from "@jest/globals";
import { Names, type Resolve } from "../../../node/adapters/tcp/names.ts";

const HERE: LookupAddress[] = [{ address: "192.0.2.1", family: 4 }];
const THERE: LookupAddress[] = [
  { address: "2001:db8::2", family: 6 },
  { address: "192.0.2.2", family: 4 },
];
/** Long enough that an answer within it is in time on any machine, and short enough to be waited out. */
const PATIENCE_MS = 200;

/** A system that answers when it is told to. */
class Resolver {
  readonly asked: string[] = [];
  readonly #open: Parameters<Resolve>[2][] = [];
  readonly resolve: Resolve = (host, _, done) => {
    this.asked.push(host);
    this.#open.push(done);
  };

  answer(addresses: LookupAddress[] | undefined): void {
    const done = this.#open.shift() ?? assert.fail("nothing was asked");
    const error = Object.assign(new Error("getaddrinfo EAI_AGAIN"), { code: "EAI_AGAIN" });
    if (addresses === undefined) done(error, []);
    else done(null, addresses);
  }
}

function find(names: Names, host = "peer"): Promise<LookupAddress[]> {
  return new Promise((resolve, reject) => {
    names.lookup(host, { all: true }, (error, addresses) => {
      if (error === null) resolve(addresses as LookupAddress[]);
      else reject(error);
    });
  });
}

function made(): { names: Names; resolver: Resolver } {
  const resolver = new Resolver();
  return { names: new Names(resolver.resolve, PATIENCE_MS), resolver };
}

/** Names of which one leads here. */
async function knowing(): Promise<ReturnType<typeof made>> {
  const { names, resolver } = made();
  const found = find(names);
  resolver.answer(HERE);
  assert.deepEqual(await found, HERE);
  return { names, resolver };
}

describe("the names of peers", () => {
  it("lead where the system says, and to the first address for who wants one only", async () => {
    const { names, resolver } = made();
    const found = new Promise((resolve) => names.lookup("peer", {}, (...answer) => resolve(answer)));
    resolver.answer(THERE);
    assert.deepEqual(await found, [null, "2001:db8::2", 6]);
  });

  it("lead nowhere where they never did, and the reason is told", async () => {
    const { names, resolver } = made();
    const found = find(names);
    resolver.answer(undefined);
    await assert.rejects(found, { code: "EAI_AGAIN" });
  });

  it("lead where they last did when they do not resolve", async () => {
    const { names, resolver } = await knowing();
    const found = find(names);
    resolver.answer(undefined);
    assert.deepEqual(await found, HERE);
  });

  it("lead where they last did when the system does not answer in time, and it is not asked twice at once", async () => {
    const { names, resolver } = await knowing();
    assert.deepEqual(await Promise.all([find(names), find(names)]), [HERE, HERE]);
    assert.deepEqual(await find(names), HERE);
    assert.deepEqual(resolver.asked, ["peer", "peer"]);
  });

  it("lead where a late answer said when the next one is late, too", async () => {
    const { names, resolver } = await knowing();
    assert.deepEqual(await find(names), HERE);
    resolver.answer(THERE);
    assert.deepEqual(await find(names), THERE);
  });

  it("are waited for as long as it takes where nothing is known of them", async () => {
    const { names, resolver } = await knowing();
    const found = find(names, "another");
    assert.deepEqual(await find(names), HERE);
    resolver.answer(undefined);
    await assert.rejects(found, { code: "EAI_AGAIN" });
    assert.deepEqual(resolver.asked, ["peer", "another", "peer"]);
  });
});
