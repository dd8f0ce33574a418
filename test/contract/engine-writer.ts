/** A process of its own that writes until it is killed: `engine-writer.ts DIRECTORY os|disk`. */
import { createLevelEngine } from "../../node/adapters/level/engine.ts";
import { dataKey } from "../../node/core/keyspace.ts";
import { createRecordedTelemetry } from "./recorded-telemetry.ts";

const [directory = "", durability] = process.argv.slice(2);
const engine = await createLevelEngine(
  { telemetry: createRecordedTelemetry() },
  { directory, cacheBytes: 1_048_576, writeBufferBytes: 65_536 },
);
// Each value is large enough that the store changes logs and compacts while it is being killed.
for (let index = 0; ; index++) {
  const key = dataKey(0, Buffer.from(`k${index}`));
  const value = Buffer.from(`v${index}`.padEnd(500));
  await engine.batch([{ kind: "put", key, value }], { sync: durability === "disk" });
  process.stdout.write(`${index}\n`);
}
