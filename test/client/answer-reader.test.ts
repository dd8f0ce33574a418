/** How the client library reads the bytes of a connection as answers. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { AnswerMalformedError, AnswerReader, type WholeAnswer } from "../../node/client/answer-reader.ts";

/** Reads the pieces one after another; gives every answer that came of them. */
function answersOf(pieces: readonly (string | Buffer)[], reader = new AnswerReader()): WholeAnswer[] {
  return pieces.flatMap((piece) => reader.read(typeof piece === "string" ? Buffer.from(piece, "latin1") : piece) ?? []);
}

function only(text: string): WholeAnswer {
  const [answer, ...more] = answersOf([text]);
  assert.ok(answer !== undefined && more.length === 0, text);
  return answer;
}

/** An answer with its body framed in one of the ways that there are. */
const arbitraryAnswer = fc.record({
  status: fc.constantFrom(200, 300, 404, 412, 503),
  body: fc.uint8Array({ maxLength: 40 }),
  chunks: fc.option(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 })),
  interim: fc.boolean(),
  context: fc.constantFrom("", "AQAA", " spaced "),
});

function encoded({
  status,
  body,
  chunks,
  interim,
  context,
}: typeof arbitraryAnswer extends fc.Arbitrary<infer Said> ? Said : never): Buffer {
  const head = `HTTP/1.1 ${status} Said\r\nKV-Context: ${context}\r\n`;
  const before = interim ? "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" : "";
  const bytes = Buffer.from(body);
  if (chunks === null) {
    return Buffer.concat([Buffer.from(`${before}${head}Content-Length: ${bytes.length}\r\n\r\n`), bytes]);
  }
  const parts: Buffer[] = [Buffer.from(`${before}${head}Transfer-Encoding: chunked\r\n\r\n`)];
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const part = bytes.subarray(at, at + (chunks[turn % chunks.length] as number));
    parts.push(Buffer.from(`${part.length.toString(16)};x=1\r\n`), part, Buffer.from("\r\n"));
    at += part.length;
  }
  return Buffer.concat([...parts, Buffer.from("0\r\nTrailer: x\r\n\r\n")]);
}

describe("an answer", () => {
  it("is read alike however its bytes are cut, and the next one after it", () => {
    fc.assert(
      fc.property(fc.array(arbitraryAnswer, { minLength: 1, maxLength: 3 }), fc.nat(), (said, seed) => {
        const reader = new AnswerReader();
        let random = seed;
        for (const one of said) {
          const bytes = encoded(one);
          const pieces: Buffer[] = [];
          for (let at = 0; at < bytes.length; ) {
            random = (random * 1_103_515_245 + 12_345) % 2_147_483_648;
            const end = Math.min(bytes.length, at + 1 + (random % 24));
            // The receive buffer is used again: nothing of it may be kept.
            pieces.push(Buffer.from(bytes.subarray(at, end)));
            at = end;
          }
          const answers = pieces.flatMap((piece) => {
            const answer = reader.read(piece);
            piece.fill(0);
            return answer ?? [];
          });
          assert.equal(answers.length, 1);
          const [{ status, headers, body, isLast }] = answers as [WholeAnswer];
          assert.deepEqual([status, headers.get("kv-context"), isLast], [one.status, one.context.trim(), false]);
          assert.deepEqual(body, Buffer.from(one.body));
        }
      }),
    );
  });

  it("has its headers by lower-case name, those that came twice together", () => {
    const { headers } = only("HTTP/1.1 204 No Content\r\nKV-Node: n1\r\nVary:a\r\nVARY: b\t\r\nEmpty:\r\n\r\n");
    assert.deepEqual(
      [...headers],
      [
        ["kv-node", "n1"],
        ["vary", "a, b"],
        ["empty", ""],
      ],
    );
  });

  it("has no body with 204 and 304, whatever its headers say", () => {
    for (const status of [204, 304]) {
      const { body } = only(`HTTP/1.1 ${status} X\r\nContent-Length: 7\r\n\r\n`);
      assert.equal(body.length, 0);
    }
  });

  it("without a length lasts until the connection ends, and is the last one", () => {
    const reader = new AnswerReader();
    assert.deepEqual(answersOf(["HTTP/1.1 200 OK\r\n\r\n", "until ", "then"], reader), []);
    const answer = reader.end();
    assert.deepEqual([answer?.body.toString(), answer?.isLast], ["until then", true]);
  });

  it("that is cut off is none", () => {
    for (const text of [
      "",
      "HTTP/1.1 200 OK\r\nContent-Len",
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
    ]) {
      const reader = new AnswerReader();
      assert.deepEqual(answersOf([text], reader), [], text);
      assert.equal(reader.end(), undefined, text);
    }
  });

  it("is the last one where the node says so, and of HTTP/1.0", () => {
    const isLast = (first: string, header: string) => only(`${first} 204 X\r\n${header}\r\n\r\n`).isLast;
    assert.equal(isLast("HTTP/1.1", "Connection: close"), true);
    assert.equal(isLast("HTTP/1.1", "connection: Upgrade, Close"), true);
    assert.equal(isLast("HTTP/1.1", "Connection: keep-alive"), false);
    assert.equal(isLast("HTTP/1.0", "Connection: keep-alive"), true);
  });

  it("that could be taken for another is refused", () => {
    const ok = "HTTP/1.1 200 OK\r\n";
    for (const text of [
      "HTTP/2 200\r\n\r\n",
      "SSH-2.0-OpenSSH\r\n\r\n",
      "\r\nHTTP/1.1 204 No Content\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
      `${ok}no colon\r\n\r\n`,
      `${ok}: no name\r\n\r\n`,
      `${ok}Space : x\r\n\r\n`,
      `${ok}A: x\r\n folded\r\n\r\n`,
      `${ok}Content-Length: -1\r\n\r\n`,
      `${ok}Content-Length: 1e3\r\n\r\n`,
      `${ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\na`,
      `${ok}Content-Length: 1, 1\r\n\r\na`,
      `${ok}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
      `${ok}Transfer-Encoding: chunked\r\n\r\nx\r\n`,
      `${ok}Transfer-Encoding: chunked\r\n\r\n-1\r\n`,
      `${ok}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n`,
      `${ok}Content-Length: 1\r\n\r\nab`,
      `${ok}Content-Length: 0\r\n\r\n${ok}Content-Length: 0\r\n\r\n`,
    ]) {
      assert.throws(() => answersOf([text]), AnswerMalformedError, text);
    }
    assert.equal(only(`${ok}Content-Length: 1\r\nContent-Length: 1\r\n\r\na`).body.toString(), "a");
  });

  it("that is longer than it may be is refused before it is all held", () => {
    const limits = { headBytesMax: 100, bodyBytesMax: 10 };
    const ok = "HTTP/1.1 200 OK\r\n";
    for (const pieces of [
      [`${ok}A: `, "x".repeat(100)],
      [`${ok}A: ${"x".repeat(100)}\r\n\r\n`],
      [`${ok}Content-Length: 11\r\n\r\n`],
      [`${ok}\r\n`, "x".repeat(6), "x".repeat(6)],
      [`${ok}Transfer-Encoding: chunked\r\n\r\n`, "6\r\nxxxxxx\r\n", "6\r\n"],
      [`${ok}Transfer-Encoding: chunked\r\n\r\n`, `1;${"x".repeat(100)}`],
      [`${ok}Transfer-Encoding: chunked\r\n\r\n0\r\n`, `A: ${"x".repeat(100)}`],
    ]) {
      assert.throws(() => answersOf(pieces, new AnswerReader(limits)), AnswerMalformedError, pieces.join());
    }
    const fits = answersOf([`${ok}Content-Length: 10\r\n\r\n`, "x".repeat(10)], new AnswerReader(limits));
    assert.equal(fits[0]?.body.length, 10);
  });
});
