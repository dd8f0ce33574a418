/** What strangers can do on the port between nodes: fill no log, and keep no member out. */
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { afterEach, beforeEach, it, jest } from "@jest/globals";
import { FRAME_TYPE, FrameWriter } from "../../../node/adapters/tcp/frame.ts";
import { encodeHello } from "../../../node/adapters/tcp/handshake.ts";
import { TRANSPORT_LIMITS } from "../../../node/adapters/tcp/limits.ts";
import { socketNetwork } from "../../../node/adapters/tcp/sockets.ts";
import { Scene } from "../../contract/transport-world.ts";
import { createTcpWorld } from "./tcp-world.ts";

jest.setTimeout(120_000);

/** After it was cut off. */
const COMES_AGAIN_MS = 20;
const HELLOS = 2_500;
const AT_ONCE = 50;
/** As many strangers as are told of within an hour. */
const TOLD_MAX = 1_024;

let scene: Scene;
beforeEach(() => {
  scene = new Scene(createTcpWorld(() => socketNetwork()));
});
afterEach(() => scene.end());

/** Says hello under a name, and waits for the end. */
function greet(host: string, port: number, name: string): Promise<void> {
  const writer = new FrameWriter(4_096);
  const self = { clusterId: "another", role: "member" as const, name, actor: "a".repeat(32), incarnation: 1 };
  const hello = { ...self, expects: undefined, instance: "b".repeat(16), sequence: 1 };
  writer.append(FRAME_TYPE.hello, 0, 0, encodeHello(hello));
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.on("error", () => {}); // The end is waited for, however it comes.
    socket.on("close", () => resolve());
    socket.resume();
    socket.write(writer.take());
  });
}

it("strangers that say nothing, and come again and again, keep no member out", async () => {
  // None of them is cut off for its silence before this is over.
  const here = await scene.started("a", { limits: { helloTimeoutMs: 600_000 } });
  const other = await scene.started("b");
  const [host = "", port] = here.address.split(":");
  const silent = new Set<Socket>();
  let isOver = false;
  const come = () => {
    const socket = connect({ host, port: Number(port) });
    silent.add(socket);
    socket.on("error", () => {}); // It is cut off.
    socket.on("close", () => {
      silent.delete(socket);
      if (!isOver) setTimeout(come, COMES_AGAIN_MS);
    });
  };
  for (let index = 0; index < 2 * TRANSPORT_LIMITS.strangersMax; index += 1) come();
  await scene.until(() => here.counted("dropped_connections") > 0);
  other.peers(here);
  try {
    await scene.until(() => here.isLinked(other) && other.isLinked(here));
  } finally {
    isOver = true;
    for (const socket of silent) socket.destroy();
  }
});

it("a stranger that says another name each time fills no log", async () => {
  const here = await scene.started("a");
  const [host = "", port] = here.address.split(":");
  for (let from = 0; from < HELLOS; from += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => greet(host, Number(port), `x${from + index}`)));
  }
  await scene.until(() => here.counted("refused_strangers") >= HELLOS);
  const told = here.telemetry.events.filter((event) => event === "stranger.refused").length;
  assert(told > 0 && told <= TOLD_MAX, `${told} lines`);
});
