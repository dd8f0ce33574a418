/** Quantities as Kubernetes writes them (`10Gi`, `500m`), read as numbers. */

const FACTORS: Readonly<Record<string, number>> = {
  "": 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};
const QUANTITY = /^(\d+(?:\.\d+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$/;

/** The number that a quantity stands for (bytes, cores), or undefined when it is none. */
export function readQuantity(text: string | number | undefined): number | undefined {
  if (typeof text === "number") return text;
  const match = QUANTITY.exec(text ?? "");
  if (match === null) return undefined;
  return Number(match[1]) * (FACTORS[match[2] ?? ""] as number);
}
