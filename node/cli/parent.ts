/**
 * Notices that the process which started this one is gone, so that nothing is left running behind it.
 *
 * `annulus local` gives its nodes a channel, which closes however it ends. npm and npx start a program through a shell
 * and, when they are told to end, end the shell: the program is then adopted by another process. Outside of these two
 * a change of parent means nothing (a shell that was closed on purpose), and is not looked at.
 */

const POLL_MS = 500;

/**
 * Calls `tell` once when the parent is gone.
 *
 * @returns Ends the watch.
 */
export function watchParent(tell: (why: string) => void): () => void {
  const onDisconnect = () => tell("the channel to the parent was closed");
  if (process.channel !== undefined) process.once("disconnect", onDisconnect);
  const parent = process.ppid;
  const isUnderNpm = process.env.npm_lifecycle_event !== undefined;
  const timer = setInterval(() => {
    if (!isUnderNpm || process.ppid === parent) return;
    clearInterval(timer);
    tell("npm has ended");
  }, POLL_MS);
  return () => {
    clearInterval(timer);
    process.removeListener("disconnect", onDisconnect);
  };
}
