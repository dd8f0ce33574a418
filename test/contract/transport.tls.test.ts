/** The transport contract where every member has a certificate and asks for one: TLS may change nothing else. */
import { beforeAll, jest } from "@jest/globals";
import { createTcpWorld } from "../adapters/tcp/tcp-world.ts";
import { networkOf, TestCredentials } from "../adapters/tcp/tls-world.ts";
import { type Issued, TestAuthority } from "../tls/authority.ts";
import { transportContract } from "./transport.ts";

jest.setTimeout(60_000);

/** One certificate for the names of all members in the contract: who is whom is for secure-network.test.ts. */
const NAMES = ["a", "b", "c", "gone", "d", "e", "seed", ...["a", "b"].flatMap((name) => rounds(name))];
let authority: TestAuthority;
let issued: Issued;
beforeAll(async () => {
  authority = await TestAuthority.create("contract");
  issued = await authority.issue({ names: NAMES });
});

transportContract("loopback sockets with certificates", () =>
  createTcpWorld(() => networkOf(new TestCredentials({ ...issued, authorities: authority.pem }))),
);

function rounds(name: string): string[] {
  return Array.from({ length: 20 }, (_, round) => `${name}-${round}`);
}
