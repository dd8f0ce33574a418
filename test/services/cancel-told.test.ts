/** What is told of a change that was to be taken back, when it is not known which document won. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { beginChange, NO_CHANGE } from "../../node/core/ring/change.ts";
import type { RingDocument } from "../../node/core/ring/document.ts";
import { createRing } from "../../node/core/ring/ring.ts";
import { nextDocument } from "../../node/core/ring/transition.ts";
import { createChanges } from "../../node/services/changes.ts";
import { createWorld } from "../core/ring/change-world.ts";

const ID = "00000000000000aa";

describe("taking a change back, where its document was overtaken", () => {
  it("is not called done when the change went on to its end", async () => {
    const { document: before } = createWorld();
    const name = before.members[0]?.name as string;
    let document: RingDocument = beginChange(
      before,
      { ...NO_CHANGE, weights: { [name]: 7 } },
      {
        id: ID,
        nowMs: 0,
        isReachable: () => true,
        actorOf: () => undefined,
        metActorOf: () => undefined,
        isRebuilding: () => false,
      },
    );
    const goOn = () => {
      const facts = (of: string) => {
        const actor = document.members.find((member) => member.name === of)?.actor ?? "";
        return { actor, epoch: document.epoch, completeFor: ID, isEmptied: true };
      };
      return nextDocument(document, facts) ?? assert.fail("it goes on");
    };
    const changes = createChanges({
      self: name,
      rings: { required: () => createRing(document) },
      agreement: {
        // As services/agreement.ts, `passedBy`: a voter may have accepted the document, and later epochs are in force.
        propose: async () => {
          document = goOn();
          document = goOn();
          throw new KvError("TIMED_OUT", "Cannot tell which ring was chosen.", { outcome: "unknown" });
        },
      },
    } as unknown as Parameters<typeof createChanges>[0]);
    const told = await changes.cancel(ID).then(
      () => "taken back",
      (error: unknown) => (error instanceof KvError ? error.code : assert.fail(String(error))),
    );
    assert.deepEqual(
      document.past?.map(({ outcome }) => outcome),
      ["done"],
    );
    assert.notEqual(
      told,
      "taken back",
      `who asked is told "${told}", and the ring says "${document.past?.at(-1)?.outcome}"`,
    );
  });
});
