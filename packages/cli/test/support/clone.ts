import { cp, mkdtemp, readdir, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../..", import.meta.url));

/** A copy of this clone in which something can be built while other tests run the bundle of this one. */
export async function copyOfClone(to?: string): Promise<string> {
  const copy = to ?? (await mkdtemp(join(tmpdir(), "mx-clone-")));
  for (const part of await readdir(root))
    if (!["node_modules", "dist", ".cache", ".git"].includes(part))
      await cp(join(root, part), join(copy, part), { recursive: true, verbatimSymlinks: true });
  await symlink(join(root, "node_modules"), join(copy, "node_modules"));
  return copy;
}
