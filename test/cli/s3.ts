/**
 * A store that speaks S3 on loopback, for tests: fauxqs, in this process. `ANNULUS_TEST_S3` names another one, by the URL of its
 * endpoint, with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` for it; its bucket `annulus-test` is to be there and empty.
 */
import { startFauxqs } from "fauxqs";

const BUCKET = "annulus-test";

/** Starts it, and says what a command needs to reach it. */
export async function startS3() {
  const { ANNULUS_TEST_S3: other, AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret } = process.env;
  const server = other === undefined ? await startFauxqs({ port: 0, host: "127.0.0.1", logger: false }) : undefined;
  server?.createBucket(BUCKET);
  return {
    bucket: BUCKET,
    environment: {
      AWS_ENDPOINT_URL_S3: other ?? `http://127.0.0.1:${server?.port}`,
      AWS_ACCESS_KEY_ID: id ?? "test",
      AWS_SECRET_ACCESS_KEY: secret ?? "test",
    },
    stop: async () => server?.stop(),
  };
}
