/**
 * Undici's pool by itself. The package's entry takes three times as long to load, and puts its own agent under the whole
 * program's `fetch` where Node.js has not put one there yet; a library must not. The package has no types for this path.
 */
declare module "undici/lib/dispatcher/pool.js" {
  import { Pool } from "undici";
  // biome-ignore lint/style/noDefaultExport: it is what that module has.
  export default Pool;
}
