/**
 * Requests that must not be made twice: asking for a change, and cancelling one.
 *
 * Nodes are asked for a sign of life first, so that one that hangs is not sent it while another would take it. A node that
 * surely did not get the request is passed over. One that may have got it and does not answer ends the
 * command: asked again, another node would refuse what the first one may have begun.
 */
import type { Answer, Call } from "../../client/http.ts";
import { NoAnswerError } from "../../client/no-answer-error.ts";
import type { Nodes } from "../../client/nodes.ts";
import { CommandError, EXIT } from "../exit.ts";

/**
 * Sends a request to the first node that can be reached.
 *
 * @param options.isPassedOver Tells of an answer that nothing was done and another node may: the next is asked, too.
 * @throws {NoAnswerError} None can be reached.
 * @throws {CommandError} A node was reached and did not answer: it may have done it.
 */
export async function sendOnce(
  nodes: Nodes,
  call: Call,
  options: { readonly isPassedOver?: (answer: Answer) => boolean } = {},
): Promise<Answer> {
  await nodes.probe();
  let unreached: NoAnswerError | undefined;
  let passedOver: Answer | undefined;
  for (const endpoint of nodes.likeliest) {
    try {
      const answer = await endpoint.exchange(call);
      if (options.isPassedOver?.(answer) !== true) return answer;
      passedOver = answer;
    } catch (error) {
      if (!(error instanceof NoAnswerError)) throw error;
      if (!error.isUnsent) {
        const message = `${error.message}. It may have been done all the same: see \`annulus changes\``;
        throw new CommandError(message, EXIT.unavailable);
      }
      unreached = error;
    }
  }
  if (passedOver !== undefined) return passedOver;
  throw unreached ?? new CommandError("there is no node to ask", EXIT.usage);
}
