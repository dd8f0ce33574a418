/** @type {import("jest").Config} */
export default {
  testEnvironment: "node",
  // Virtual time costs real time on a machine that does other things too; only what hangs should fail by the clock.
  testTimeout: 120_000,
  // ES modules of finished test files stay in memory: past this, collections take longer than the tests.
  workerIdleMemoryLimit: "600MB",
  extensionsToTreatAsEsm: [".ts"],
  transform: {
    "^.+\\.ts$": [
      "@swc/jest",
      { jsc: { parser: { syntax: "typescript" }, target: "es2024" }, module: { type: "es6" }, sourceMaps: "inline" },
    ],
  },
  testMatch: ["<rootDir>/test/**/*.test.ts"],
  testPathIgnorePatterns: [
    "/node_modules/",
    "<rootDir>/test/process/",
    "<rootDir>/test/containers/",
    "<rootDir>/test/e2e/",
    "<rootDir>/test/kube/",
  ],
  modulePathIgnorePatterns: ["<rootDir>/dist/"],
};
