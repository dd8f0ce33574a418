/** Text that becomes a header of a request. */
import { InvalidArgumentError } from "commander";

/** Printable ASCII: what nodes take as a content type (docs/api.md), and any header can carry. */
const HEADER_TEXT = /^[\x20-\x7e]{1,255}$/;

/** Whether a header can carry it, and a node takes it. */
export function isHeaderText(text: string): boolean {
  return HEADER_TEXT.test(text);
}

/** An option that becomes a header, for commander. */
export function headerText(text: string): string {
  if (!isHeaderText(text)) throw new InvalidArgumentError("Expected 1 to 255 characters of printable ASCII.");
  return text;
}

/** A context token, for commander. It is longer than other headers. */
export function tokenText(text: string): string {
  if (!/^[\x21-\x7e]+$/.test(text)) throw new InvalidArgumentError("Expected a token of printable ASCII.");
  return text;
}
