/** Where a key lives: its partition, and its home replicas in order with what this node knows of them. */
import { RefusedError } from "./connection.ts";
import { byId, element, setText } from "./dom.ts";

/** `GET /v1/ring/{key}`, as far as it is shown. */
export type KeyPlace = {
  readonly partition: number;
  readonly token: string;
  readonly homes: readonly { readonly name: string; readonly zone: string; readonly address: string }[];
};

/**
 * Makes the form work.
 *
 * @param locate Asks the node for the place of a key.
 * @param healthOf What the node thinks of a member.
 * @param onFound Told of the key's partition.
 */
export function createLooker(
  locate: (key: string) => Promise<KeyPlace>,
  healthOf: (name: string) => string,
  onFound: (partition: number) => void,
): void {
  const told = byId("key-place", HTMLElement);
  const list = byId("key-homes", HTMLElement);
  async function find(key: string): Promise<void> {
    try {
      const { partition, token, homes } = await locate(key);
      const lines = homes.map(({ name, zone, address }) =>
        element("li", {}, element("strong", {}, name), ` in ${zone}, ${address}: ${healthOf(name)}`),
      );
      list.replaceChildren(...lines);
      setText(told, `${key} is in partition ${partition} (hash ${token}). Its homes, in order:`);
      onFound(partition);
    } catch (error) {
      if (!(error instanceof RefusedError || error instanceof TypeError)) throw error;
      list.replaceChildren();
      setText(told, error instanceof RefusedError ? error.message : "The node does not answer.");
    }
  }
  byId("key-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    void find(byId("key", HTMLInputElement).value);
  });
}
