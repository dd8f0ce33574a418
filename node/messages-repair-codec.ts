/**
 * The messages of anti-entropy as flat arrays: roots, branches and leaves of Merkle trees; see messages-codec.ts.
 */
import { packLeafKeys, packNumbers, packRoots, unpackLeafKeys, unpackRoots } from "./core/merkle/packed.ts";
import { LEAF_BITS_MAX, STEP_BITS, SUM_BYTES } from "./core/merkle/tree.ts";
import type {
  HorizonsReply,
  HorizonsRequest,
  RepairReply,
  RepairRequest,
  SizesReply,
  SizesRequest,
} from "./messages.ts";
import { invalid, toBytes, toCount } from "./messages-fields.ts";
import { packMarks, toMarks, toNumbers } from "./messages-horizon-codec.ts";

/** The same numbers for requests and for replies. */
const KIND = { roots: 10, branches: 11, leaves: 12, sizes: 13 } as const;

/**
 * Says at the end of a reply that something of its partition is in doubt; members of older releases never say so. No number:
 * it must not be taken for a field of a release that knew of none here.
 */
const IN_DOUBT = "in doubt";

/** Bounds of the fields, the same for what is sent and what is taken. */
export const REPAIR_BOUNDS = {
  partitionsMax: 4_096,
  branchNodesMax: 512,
  leavesMax: 64,
  keyBytesMax: 1_024,
  bodyBytesMax: 16 * 1_024 * 1_024,
} as const;

/** Whether the first element of an array is a kind that is read here. */
export function isRepairKind(kind: unknown): boolean {
  return kind === KIND.roots || kind === KIND.branches || kind === KIND.leaves || kind === KIND.sizes;
}

/** The array for `request`. */
export function encodeRepairRequest(request: Exclude<RepairRequest, HorizonsRequest> | SizesRequest): unknown[] {
  switch (request.kind) {
    case "sizes":
      return [KIND.sizes, packNumbers(request.partitions)];
    case "roots":
      return [KIND.roots, request.epoch, packNumbers(request.partitions)];
    case "branches": {
      const { epoch, partition, depth, step, nodes } = request;
      return [KIND.branches, epoch, partition, depth, step, packNumbers(nodes)];
    }
    case "leaves":
      return [KIND.leaves, request.epoch, request.partition, request.depth, packNumbers(request.nodes)];
  }
}

/** @throws {KvError} INVALID_REQUEST. */
export function decodeRepairRequest(fields: readonly unknown[]): RepairRequest | SizesRequest {
  if (fields[0] === KIND.sizes) {
    return { kind: "sizes", partitions: toNumbers(fields[1], REPAIR_BOUNDS.partitionsMax, "partitions") };
  }
  const epoch = toCount(fields[1], "epoch");
  if (fields[0] === KIND.roots) {
    return { kind: "roots", epoch, partitions: toNumbers(fields[2], REPAIR_BOUNDS.partitionsMax, "partitions") };
  }
  const partition = toCount(fields[2], "partition");
  const depth = toWithin(fields[3], LEAF_BITS_MAX, "depth");
  if (fields[0] === KIND.branches) {
    const step = toWithin(fields[4], STEP_BITS, "step");
    if (step === 0 || depth + step > LEAF_BITS_MAX) throw invalid("step", `1..${STEP_BITS}, to depth 16`, fields[4]);
    const nodes = toNodes(fields[5], REPAIR_BOUNDS.branchNodesMax, depth);
    return { kind: "branches", epoch, partition, depth, step, nodes };
  }
  return { kind: "leaves", epoch, partition, depth, nodes: toNodes(fields[4], REPAIR_BOUNDS.leavesMax, depth) };
}

/** The array for `reply`. */
export function encodeRepairReply(reply: Exclude<RepairReply, HorizonsReply> | SizesReply): unknown[] {
  switch (reply.kind) {
    case "sizes":
      return [KIND.sizes, packSizes(reply.bytes)];
    case "roots":
      return [KIND.roots, packRoots(reply.roots), reply.epoch, packMarks(reply.horizons)];
    case "branches":
      return [KIND.branches, reply.sums, ...(reply.inDoubt === true ? [IN_DOUBT] : [])];
    case "leaves":
      return [KIND.leaves, packLeafKeys(reply.keys), ...(reply.inDoubt === true ? [IN_DOUBT] : [])];
  }
}

/** @throws {KvError} INVALID_REQUEST. */
export function decodeRepairReply(fields: readonly unknown[]): RepairReply | SizesReply {
  const body = toBytes(fields[1], 0, REPAIR_BOUNDS.bodyBytesMax, "list");
  if (fields[0] === KIND.roots) {
    const roots = unpackRoots(body);
    if (roots === undefined) throw invalid("roots", "whole ones", body);
    return { kind: "roots", roots, epoch: toCount(fields[2], "epoch"), horizons: toMarks(fields[3], roots.length) };
  }
  if (fields[0] === KIND.sizes) return { kind: "sizes", bytes: unpackSizes(body) };
  const doubt: { readonly inDoubt?: true } = fields[2] === IN_DOUBT ? { inDoubt: true } : {};
  if (fields[0] === KIND.branches) {
    if (body.length % SUM_BYTES !== 0) throw invalid("sums", "whole ones", body);
    return { kind: "branches", sums: body, ...doubt };
  }
  const keys = unpackLeafKeys(body);
  if (keys === undefined || keys.some(({ key }) => key.length > REPAIR_BOUNDS.keyBytesMax)) {
    throw invalid("leaf keys", "whole ones", body);
  }
  return { kind: "leaves", keys, ...doubt };
}

/** Sizes are larger than four bytes can say: eight each, as doubles. */
function packSizes(sizes: readonly number[]): Uint8Array {
  const packed = new Uint8Array(sizes.length * 8);
  const view = new DataView(packed.buffer);
  for (const [index, size] of sizes.entries()) view.setFloat64(index * 8, size);
  return packed;
}

function unpackSizes(packed: Uint8Array): number[] {
  if (packed.length % 8 !== 0) throw invalid("sizes", "whole ones", packed);
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  return Array.from({ length: packed.length / 8 }, (_, index) => toCount(view.getFloat64(index * 8), "size in bytes"));
}

function toNodes(value: unknown, countMax: number, depth: number): number[] {
  const nodes = toNumbers(value, countMax, "nodes");
  for (const node of nodes) if (node >= 2 ** depth) throw invalid("node", `one of depth ${depth}`, node);
  return nodes;
}

function toWithin(value: unknown, max: number, name: string): number {
  const number = toCount(value, name);
  if (number > max) throw invalid(name, `at most ${max}`, value);
  return number;
}
