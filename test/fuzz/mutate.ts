/** Breeds inputs: one or a few small changes of an input, or two inputs spliced. Repeatable from a seed. */

/** Uniform over 0 .. below − 1. */
export type Draw = (below: number) => number;

/** Inputs are kept short: what a parser does with long ones it does with short ones. */
export const INPUT_BYTES_MAX = 4_096;

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff, 0x22, 0x25, 0x2c, 0x3a, 0x5b, 0x7b, 0x90, 0xc4, 0xdb];
/** Pieces that parsers of text stumble over. */
const WORDS = [
  "__proto__",
  "constructor",
  "-1",
  "1e400",
  "0.5",
  "9007199254740993",
  "null",
  "[]",
  "{}",
  '""',
  "\u0000",
  "\ud800",
  "%",
  "%zz",
  "NaN",
].map((word) => Buffer.from(word));

/** A generator of 32 bits (xorshift, Marsaglia 2003). */
export function seededDraw(seed: number): Draw {
  let state = seed | 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** A changed copy of one of the inputs. */
export function mutate(pool: readonly Uint8Array[], draw: Draw): Uint8Array {
  let input: Uint8Array = pool[draw(pool.length)] ?? new Uint8Array(0);
  for (let changes = 1 + draw(4); changes > 0; changes -= 1) input = changed(input, pool, draw);
  return input.length > INPUT_BYTES_MAX ? input.subarray(0, INPUT_BYTES_MAX) : input;
}

function changed(input: Uint8Array, pool: readonly Uint8Array[], draw: Draw): Uint8Array {
  const at = draw(input.length + 1);
  switch (draw(8)) {
    case 0:
      return withByte(input, at, (byte) => byte ^ (1 << draw(8)));
    case 1:
      return withByte(input, at, () => draw(256));
    case 2:
      return withByte(input, at, () => INTERESTING[draw(INTERESTING.length)] ?? 0);
    case 3:
      return withByte(input, at, (byte) => byte + (draw(2) === 0 ? 1 : -1));
    case 4: // Without a piece.
      return joined(input.subarray(0, at), input.subarray(at + 1 + draw(8)));
    case 5: // A piece twice.
      return joined(input.subarray(0, at + draw(16)), input.subarray(at));
    case 6: {
      const word = WORDS[draw(WORDS.length)] ?? new Uint8Array(0);
      return joined(input.subarray(0, at), word, input.subarray(at + (draw(2) === 0 ? 0 : word.length)));
    }
    default: {
      const other = pool[draw(pool.length)] ?? input;
      return joined(input.subarray(0, at), other.subarray(draw(other.length + 1)));
    }
  }
}

function withByte(input: Uint8Array, at: number, change: (byte: number) => number): Uint8Array {
  const copy = Uint8Array.from(input);
  if (at < copy.length) copy[at] = change(copy[at] ?? 0);
  return copy;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}
