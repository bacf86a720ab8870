/** A verb that was typed without its noun, or a name that other programs have for the same thing. */
import { commandTree, leaves } from "./tree.ts";

/** What people type who come from ssh, systemd or containers. */
const elsewhere: Readonly<Record<string, readonly string[]>> = {
  run: ["exec"],
  ssh: ["exec"],
  shell: ["exec"],
  ps: ["invocation list"],
  kill: ["invocation cancel"],
  init: ["policy init"],
  whoami: ["auth status"],
  rooms: ["workspace list"],
  room: ["workspace"],
  completions: ["completion"],
  ls: ["status"],
  setup: ["up"],
  install: ["up", "service install"],
  connect: ["join"],
  link: ["invite create"],
  tunnel: ["up --tunnel"],
  upgrade: ["update check"],
};

/** Commands that may have been meant by a first word that is none, as `daemon logs` by `logs`. */
export async function meantBy(word: string): Promise<string[]> {
  const names = Object.hasOwn(elsewhere, word) ? (elsewhere[word] ?? []) : [];
  const found = leaves(await commandTree())
    .map(({ path }) => path)
    .filter((path) => path.length > 1 && path.at(-1) === word)
    .map((path) => path.join(" "));
  return [...new Set([...names, ...found])];
}
