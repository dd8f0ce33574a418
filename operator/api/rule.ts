/**
 * What an object must fulfil beyond its schema. Each rule is written twice: in CEL, for the API server, and as a
 * function, for the simulated one and for tests; a test on a real API server holds the two against each other.
 *
 * A message says what to do. A rule with `oldSelf` in its CEL is about a change and does not apply to a creation.
 */

/** An object as rules see it. */
export type Subject<Spec> = { readonly name: string; readonly spec: Spec };

export type Rule<Spec> = {
  /** Where it stands in the schema: a path from the root, `[]` being the root itself. */
  readonly at: readonly string[];
  readonly cel: string;
  readonly message: string;
  readonly holds: (subject: Subject<Spec>, old: Subject<Spec> | undefined) => boolean;
};

/** Names from which all others can be made: none is too long then. */
export const NAME = /^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$/;

/** That the object's own name is such a name. */
export const NAME_RULE: Rule<unknown> = {
  at: [],
  cel: `self.metadata.name.matches('${NAME.source}')`,
  message:
    "metadata.name is 1 to 40 of a-z, 0-9 and '-', begins with a letter and does not end with '-': choose such a name",
  holds: ({ name }) => NAME.test(name),
};

/** The messages of the rules that a new object, or a change of one, breaks. */
export function broken<Spec>(
  rules: readonly Rule<Spec>[],
  subject: Subject<Spec>,
  old?: Subject<Spec>,
): readonly string[] {
  return rules.filter((rule) => !rule.holds(subject, old)).map((rule) => rule.message);
}
