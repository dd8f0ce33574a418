import base from "../../jest.config.js";

/**
 * Tests over real processes: one file after the other, with time to start, kill and restart them. They run the
 * compiled program, so that `npm run test:process` compiles first.
 *
 * @type {import("jest").Config}
 */
export default {
  ...base,
  rootDir: "../..",
  testMatch: ["<rootDir>/test/process/**/*.test.ts"],
  testPathIgnorePatterns: ["/node_modules/"],
  maxWorkers: 1,
  testTimeout: 120_000,
};
