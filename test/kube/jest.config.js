import base from "../../jest.config.js";

/**
 * Tests on a real Kubernetes, the one that KUBECONFIG names: one file after the other, each in a namespace of its own.
 *
 * @type {import("jest").Config}
 */
export default {
  ...base,
  rootDir: "../..",
  testMatch: ["<rootDir>/test/kube/*.test.ts"],
  testPathIgnorePatterns: ["/node_modules/"],
  maxWorkers: 1,
  testTimeout: 600_000,
};
