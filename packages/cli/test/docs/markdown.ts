/** The pages that people read, and the blocks of code in them. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../../..", import.meta.url));

export interface Block {
  /** Relative to the project. */
  file: string;
  /** Of its first line, from 1. */
  line: number;
  /** What stands behind the fence: `console`, `text`, `toml`. */
  kind: string;
  lines: string[];
  /** The heading that it stands under. */
  section: string;
  /** Whether its commands are typed at the same time, and answered with yes: `*On two terminals at the same time…*` above. */
  together: boolean;
}

const TOGETHER = /^\*On two terminals at the same time\b/;
const HEADING = /^#+ (.+)$/;

/** All blocks of a page, in order. */
export function blocksOf(file: string): Block[] {
  const blocks: Block[] = [];
  let open: Block | undefined;
  let above = "";
  let section = "";
  for (const [index, line] of read(file).split("\n").entries()) {
    const fence = /^```(.*)$/.exec(line);
    if (open === undefined && fence !== null) {
      open = {
        file,
        line: index + 2,
        kind: fence[1] ?? "",
        lines: [],
        section,
        together: TOGETHER.test(above),
      };
    } else if (open !== undefined && fence !== null) {
      blocks.push(open);
      open = undefined;
    } else if (open === undefined) section = HEADING.exec(line)?.[1] ?? section;
    else open.lines.push(line);
    if (line.trim() !== "") above = line;
  }
  if (open !== undefined) throw new Error(`${file}:${open.line}: the block does not end`);
  return blocks;
}

export function read(file: string): string {
  return readFileSync(join(root, file), "utf8");
}

/** Every page of the project, relative to it; what was installed and what was made is not ours. */
export function pages(dir = root): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const path = join(dir, entry.name);
    if (entry.isDirectory())
      return ["node_modules", "dist", ".git", ".cache"].includes(entry.name) ? [] : pages(path);
    return entry.name.endsWith(".md") ? [relative(root, path)] : [];
  });
}
