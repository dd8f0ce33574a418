/** Seeds that once broke a promise, and why; every test run tries them again. */
export const SEEDS: readonly { readonly seed: number; readonly why: string }[] = [
  { seed: 10, why: "two writes that waited for one read of the disk both built on what it found" },
  { seed: 13, why: "a blind overwrite that a cut had held back replaced what was written since" },
  { seed: 147, why: "a replica with a slow clock lost the name of a write before older ones" },
];
