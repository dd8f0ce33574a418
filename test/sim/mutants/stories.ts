/**
 * What tests import as `@jest/globals`, for stories that are told to a mutant: they run one after the other in its process,
 * and the first that fails is the verdict.
 */
type Story = { readonly name: string; readonly run: () => unknown };

const stories: Story[] = [];

/** Takes the stories in `block`. */
export function describe(_name: string, block: () => void): void {
  block();
}

/** Takes one story. */
export function it(name: string, run: () => unknown): void {
  stories.push({ name, run });
}

it.each =
  (cases: readonly unknown[]) =>
  (name: string, run: (...one: unknown[]) => unknown): void => {
    // As Jest has it: what is a list is handed over piece by piece.
    for (const one of cases) it(name, () => (Array.isArray(one) ? run(...one) : run(one)));
  };

/** Tells all that were taken; rejects with what the first one that fails says. */
export async function tellAll(): Promise<void> {
  for (const { run } of stories.splice(0)) await run();
}
