/**
 * Asks the nodes what of a partition a backup lacks: sums of all leaves, then of each leaf that differs its records.
 *
 * Bytes grow with the difference: 8 for each leaf of 16 to 64 keys, 8 for each key of a leaf that differs, and the records.
 */
import type { IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { z } from "zod";
import type { Answer, Call, Endpoint } from "../../client/http.ts";
import { NoAnswerError } from "../../client/no-answer-error.ts";
import { answerOf, type Nodes } from "../../client/nodes.ts";
import { BRIEF_BYTES, briefSums, differingLeaves, leafOf, packBriefs, unpackBriefs } from "../../core/merkle/brief.ts";
import { parseAnswer } from "../admin-views.ts";
import { answerError } from "../connection.ts";
import { endpointsInTurn } from "../endpoints-in-turn.ts";
import { EXIT } from "../exit.ts";
import { isBrokenOff } from "../partition-stream.ts";
import type { Held, LayerWriter } from "./layer.ts";

/** Of one question, as many as a node takes. */
const LEAVES_MAX = 16;
/** Of one question: far below the bytes that a node takes. */
const BRIEFS_MAX = 65_536;

const bytes = z.base64url().transform((text) => Buffer.from(text, "base64url"));

const TreeAnswer = z
  .object({ bits: z.int().min(4).max(16), sums: bytes, unlike: z.array(z.number()) })
  .refine(({ bits, sums }) => sums.length === BRIEF_BYTES * 2 ** bits, "expected a sum for each leaf");

const RecordLine = z.object({ key: z.string(), record: z.string() });
const briefList = bytes.transform((packed, context) => {
  const briefs = unpackBriefs(packed);
  if (briefs !== undefined) return briefs;
  context.addIssue("expected whole briefs");
  return z.NEVER;
});
const EndLine = z.object({ gone: briefList, complete: z.literal(true) });
const DifferenceLine = z.union([RecordLine, EndLine]);

/** Told of each exchange: bytes of its body, both ways. */
export type OnMoved = (bytes: number) => void | Promise<void>;

/**
 * Asks for the sums, and says which leaves differ from what is held.
 *
 * @returns Undefined when no node can compare the partition: it is to be read as a whole.
 */
export async function compareWith(
  nodes: Nodes,
  partition: number,
  held: readonly Held[],
  onMoved: OnMoved,
): Promise<{ readonly bits: number; readonly leaves: readonly number[] } | undefined> {
  const answer = await askAny(nodes, { method: "GET", path: `/v1/backup/tree?partition=${partition}` }, onMoved);
  if (answer === undefined) return undefined;
  const { bits, sums, unlike } = parseAnswer(nodes, answer, TreeAnswer);
  const leaves = new Set([...differingLeaves(briefSums(bits, held), sums), ...unlike]);
  return { bits, leaves: [...leaves].sort((a, b) => a - b) };
}

/**
 * Asks for the records of those leaves that the backup lacks, and adds them to a layer.
 *
 * @returns Briefs that do not count any more; undefined when no node can say: the partition is to be read as a whole.
 */
export async function takeDifference(
  nodes: Nodes,
  {
    partition,
    bits,
    leaves,
    held,
  }: {
    readonly partition: number;
    readonly bits: number;
    readonly leaves: readonly number[];
    readonly held: readonly Held[];
  },
  { writer, onMoved }: { readonly writer: Pick<LayerWriter, "add">; readonly onMoved: OnMoved },
): Promise<bigint[] | undefined> {
  const briefs = new Map<number, bigint[]>(leaves.map((leaf) => [leaf, []]));
  for (const { place, brief } of held) briefs.get(leafOf(place, bits))?.push(brief);
  const gone: bigint[] = [];
  for (const question of questionsOf(briefs)) {
    if (question.briefCount > BRIEFS_MAX) return undefined;
    const body = Buffer.from(JSON.stringify({ partition, bits, leaves: question.leaves }));
    const headers = { "content-type": "application/json" };
    await onMoved(body.length);
    const call: Call = { method: "POST", path: "/v1/backup/difference", headers, body };
    const found = await takeLines(nodes, call, async (line, bytes) => {
      await writer.add(line);
      await onMoved(bytes);
    });
    if (found === undefined) return undefined;
    gone.push(...found);
  }
  return gone;
}

type Question = { readonly leaves: { readonly leaf: number; readonly briefs: string }[]; briefCount: number };

/** Leaves some at a time, with what is held of each. */
function* questionsOf(briefs: ReadonlyMap<number, readonly bigint[]>): Generator<Question> {
  let question: Question = { leaves: [], briefCount: 0 };
  for (const [leaf, held] of briefs) {
    if (
      question.leaves.length > 0 &&
      (question.leaves.length === LEAVES_MAX || question.briefCount + held.length > BRIEFS_MAX)
    ) {
      yield question;
      question = { leaves: [], briefCount: 0 };
    }
    question.leaves.push({ leaf, briefs: Buffer.from(packBriefs(held)).toString("base64url") });
    question.briefCount += held.length;
  }
  if (question.leaves.length > 0) yield question;
}

/**
 * Takes the lines of the first node that gives some, as they come: all of an answer may be far more than there is room for.
 *
 * @returns What its last line says; undefined as `askAny`, and where an answer broke off of which something was taken: what another node
 *   would give might hold the same records again.
 */
async function takeLines(
  nodes: Nodes,
  call: Call,
  take: (line: z.infer<typeof RecordLine>, bytes: number) => Promise<void>,
): Promise<readonly bigint[] | undefined> {
  for await (const endpoint of endpointsInTurn(nodes)) {
    const response = await openedAt(endpoint, call);
    if (response instanceof NoAnswerError) continue;
    const { statusCode: status = 0, headers } = response;
    if (status === 200) {
      const { isTouched, gone } = await readLines(response, take);
      if (gone !== undefined || isTouched) return gone;
      continue;
    }
    const body = await collected(response);
    if (status === 404) return undefined;
    const error = answerError({ status, headers, body, from: endpoint.url });
    if (error.exitCode !== EXIT.unavailable) throw error;
  }
  return undefined;
}

async function openedAt(endpoint: Endpoint, call: Call): Promise<IncomingMessage | NoAnswerError> {
  try {
    return await endpoint.open(call);
  } catch (error) {
    if (error instanceof NoAnswerError) return error;
    throw error;
  }
}

/** The words of a refusal; as much of them as came. */
async function collected(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of response) chunks.push(chunk as Buffer);
  } catch (error) {
    if (!isBrokenOff(error)) throw error;
  }
  return Buffer.concat(chunks);
}

async function readLines(
  response: IncomingMessage,
  take: (line: z.infer<typeof RecordLine>, bytes: number) => Promise<void>,
): Promise<{ readonly isTouched: boolean; readonly gone: readonly bigint[] | undefined }> {
  let [isTouched, gone]: [boolean, readonly bigint[] | undefined] = [false, undefined];
  try {
    for await (const text of createInterface({ input: response })) {
      const line = DifferenceLine.parse(JSON.parse(text));
      if ("complete" in line) {
        gone = line.gone;
        continue;
      }
      isTouched = true;
      await take(line, text.length + 1);
    }
  } catch (error) {
    if (!isBrokenOff(error)) throw error;
    return { isTouched, gone: undefined };
  }
  return { isTouched, gone };
}

/**
 * The first good answer of any node.
 *
 * @returns Undefined when none gives one in some seconds, or one is of a release that does not know the question.
 * @throws {CommandError} For an answer that will not change.
 */
async function askAny(nodes: Nodes, call: Call, onMoved: OnMoved): Promise<Answer | undefined> {
  for await (const endpoint of endpointsInTurn(nodes)) {
    const answer = await answerOf(endpoint, call);
    if (answer instanceof NoAnswerError) continue;
    await onMoved((call.body?.length ?? 0) + answer.body.length);
    if (answer.status === 200) return answer;
    if (answer.status === 404) return undefined;
    const error = answerError(answer);
    if (error.exitCode !== EXIT.unavailable) throw error;
  }
  return undefined;
}
