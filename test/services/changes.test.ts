/** Asking for changes of the ring while others change it: who is refused, by whose name, and who is not. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { beginChange, NO_CHANGE } from "../../node/core/ring/change.ts";
import type { RingDocument } from "../../node/core/ring/document.ts";
import { createRing } from "../../node/core/ring/ring.ts";
import { cancelledDocument } from "../../node/core/ring/transition.ts";
import { type Changes, createChanges } from "../../node/services/changes.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { createWorld } from "../core/ring/change-world.ts";

type Parts = Parameters<typeof createChanges>[0];

const OTHER = "00000000000000aa";

/** A member that is asked; `meanwhile` gives what the members choose before they are asked for its own document. */
class Asked {
  document: RingDocument = createWorld().document;
  readonly changes: Changes;
  readonly proposed: RingDocument[] = [];

  constructor(meanwhile: (document: RingDocument, proposals: number) => RingDocument | undefined) {
    const name = this.document.members[0]?.name as string;
    const parts = {
      self: name,
      rings: { required: () => createRing(this.document) },
      agreement: {
        // As the shipped one: what is not for the next epoch any more is not even proposed.
        propose: async (next: RingDocument) => {
          this.document = meanwhile(this.document, this.proposed.length) ?? this.document;
          this.proposed.push(next);
          if (next.epoch !== this.document.epoch + 1) throw new KvError("STALE_RING", "Cannot propose a ring.");
          this.document = next;
          return true;
        },
      },
      driver: { hurry() {} },
      sizes: { ofAll: async (partitions: readonly number[]) => partitions.map(() => 0) },
      transport: {
        request: async () => ({ kind: "sizes", bytes: [] }),
        identityOf: () => undefined,
      },
      isUp: () => true,
      time: { wallMs: () => 0 },
      random: { bytes: (count: number) => new Uint8Array(count).fill(this.proposed.length + 1) },
      telemetry: createRecordedTelemetry(),
    };
    this.changes = createChanges(parts as unknown as Parts);
  }

  weigh(weight: number) {
    const name = this.document.members[0]?.name as string;
    return this.changes.begin({ ...NO_CHANGE, weights: { [name]: weight } }, { dryRun: false });
  }
}

/** What the other administrator asked for. */
function otherChange(document: RingDocument): RingDocument {
  const name = document.members[1]?.name as string;
  return beginChange(
    document,
    { ...NO_CHANGE, weights: { [name]: 7 } },
    {
      ...{
        id: OTHER,
        nowMs: 0,
        isReachable: () => true,
        actorOf: () => undefined,
        metActorOf: () => undefined,
        isRebuilding: () => false,
      },
    },
  );
}

describe("a change that is asked for while another one is chosen", () => {
  it("is refused by the name of that one, also when its document had come already", async () => {
    const asked = new Asked((document, proposals) => (proposals === 0 ? otherChange(document) : undefined));
    await assert.rejects(asked.weigh(50), (error) => {
      assert(error instanceof KvError);
      assert.equal(error.code, "CHANGE_REFUSED");
      assert.match(error.message, new RegExp(`the change ${OTHER} is under way`));
      return true;
    });
    assert.equal(asked.proposed.length, 1);
  });

  it("is planned anew and chosen when what came meanwhile was no change under way", async () => {
    const asked = new Asked((document, proposals) =>
      proposals === 0 ? { ...document, epoch: document.epoch + 1 } : undefined,
    );
    const { after } = await asked.weigh(50);
    assert.equal(asked.document, after);
    assert.equal(asked.proposed.length, 2);
  });

  it("is refused in the end where the ring never holds still", async () => {
    const asked = new Asked((document) => ({ ...document, epoch: document.epoch + 1 }));
    await assert.rejects(asked.weigh(50), { code: "CHANGE_REFUSED" });
  });
});

describe("taking a change back while it goes on", () => {
  it("is refused, not called a disagreement", async () => {
    const asked = new Asked((document, proposals) => (proposals === 1 ? cancelledDocument(document) : undefined));
    const { after } = await asked.weigh(50);
    await assert.rejects(asked.changes.cancel(after.transition?.id as string), { code: "CHANGE_REFUSED" });
  });
});
