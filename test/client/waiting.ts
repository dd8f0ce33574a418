/** What the client library's tests wait for: that something comes to be, or that a promise fails as it should. */
import assert from "node:assert/strict";

const POLL_MS = 2;

/** Waits for what comes without anybody waiting for it; the test's own timeout is the limit. */
export async function eventually(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
}

/** The error of a promise that has to fail, with one of this kind. */
export async function failureOf<E extends Error>(
  promise: Promise<unknown>,
  kind: abstract new (...given: never[]) => E,
): Promise<E> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof kind, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: "it did not fail" });
}
