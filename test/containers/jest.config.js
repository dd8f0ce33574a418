import base from "../../jest.config.js";

/**
 * Containers of the built image on networks of their own; needs a Docker engine and the image `annulus:test`.
 *
 * @type {import("jest").Config}
 */
export default {
  ...base,
  rootDir: "../..",
  testMatch: ["<rootDir>/test/containers/**/*.test.ts"],
  testPathIgnorePatterns: ["/node_modules/"],
  maxWorkers: 1,
  testTimeout: 900_000,
};
