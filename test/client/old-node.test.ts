/** The client library on a Node that is too old for it. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, it, jest } from "@jest/globals";
import { refusalOf } from "../../node/client/node-version.ts";

/** A program of its own, which takes long to start on a busy machine. */
jest.setTimeout(60_000);

const LIBRARY = fileURLToPath(new URL("../../node/client/client.ts", import.meta.url));

describe("the client library on an old Node", () => {
  it("says which one it needs before anything else of it is loaded", async () => {
    const program = `
      Object.defineProperty(process.versions, "node", { value: "20.20.2" });
      delete Promise.withResolvers;
      await import(${JSON.stringify(LIBRARY)}).then(
        () => console.log("loaded"),
        (error) => console.log(error.message),
      );`;
    const args = ["--input-type=module", "--eval", program];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env: { PATH: process.env.PATH } });
    assert.match(stdout, /^Cannot load annulus\/client: it needs Node 22\.19 or newer, this is Node 20\.20\.2\b/);
  });

  it("is fine with any that is new enough", () => {
    for (const version of ["22.19.0", "22.20.1", "23.0.0", "24.21.0", "100.0.0"])
      assert.equal(refusalOf(version), undefined);
    for (const version of ["18.0.0", "20.20.2", "22.18.9", "22.9.0"]) assert.ok(refusalOf(version)?.includes(version));
  });
});
