/** Seeds that once broke a promise, and why; every test run tries them again. */
export const SEEDS: readonly { readonly seed: number; readonly why: string }[] = [
  { seed: 10, why: "two writes that waited for one read of the disk both built on what it found" },
  { seed: 13, why: "a blind overwrite that a cut had held back replaced what was written since" },
  { seed: 147, why: "a replica with a slow clock lost the name of a write before older ones" },
  { seed: 1088, why: "a hint of a failed batch surfaced when the store was opened again, and nobody knew of it" },
  { seed: 2077, why: "a home and its stand-in both counted, and then the stand-in gave its copy to the home" },
  { seed: 2281, why: "a hint was built upon one turn of promises after it was looked at, and lost what came between" },
  { seed: 133, why: "a member with a new disk was believed, for it asked one that had lost its own and knew nobody" },
];
