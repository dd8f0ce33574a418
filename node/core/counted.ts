/** A number of things, in words: `1 replica`, `2 replicas`. The plural is the singular with an "s". */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
