/** Tasks that are refused for the room that others take. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { atOnceOrInTurn } from "../../node/services/at-once.ts";

/** So many tasks, of which `room` may run beside each other. */
function crowd(count: number, room: number) {
  let running = 0;
  return Array.from({ length: count }, (_, index) => async () => {
    if (running >= room) throw new KvError("OVERLOADED", "Cannot answer: too many bytes are queued.");
    running += 1;
    await new Promise(setImmediate);
    running -= 1;
    return index;
  });
}

describe("tasks at once", () => {
  it("give all that they bring in their order, also those for which there was no room beside the others", async () => {
    for (const room of [1, 3, 10]) assert.deepEqual(await atOnceOrInTurn(crowd(5, room)), [0, 1, 2, 3, 4]);
  });

  it("end with the error of one when all have ended, and with the refusal that stays", async () => {
    let ended = 0;
    const slow = async () => {
      await new Promise(setImmediate);
      ended += 1;
    };
    const failing = () => Promise.reject(new KvError("TIMED_OUT", "Cannot tell: no reply came in time."));
    await assert.rejects(atOnceOrInTurn([failing, slow]), { code: "TIMED_OUT" });
    assert.equal(ended, 1);
    await assert.rejects(atOnceOrInTurn<unknown>(crowd(2, 0)), { code: "OVERLOADED" });
  });
});
