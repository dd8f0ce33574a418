import { jest } from "@jest/globals";
import { createTcpWorld } from "../adapters/tcp/tcp-world.ts";
import { transportContract } from "./transport.ts";

// Conditions are waited for, not times: a machine that has other things to do may take long.
jest.setTimeout(60_000);

transportContract("loopback sockets", () => createTcpWorld());
