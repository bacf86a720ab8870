/** A runner as the command line starts it: `--dir D --socket S`. */
import { parseArgs } from "node:util";
import { runRunner } from "../../src/index.ts";

const { values } = parseArgs({ options: { dir: { type: "string" }, socket: { type: "string" } } });
const { dir, socket } = values;
if (dir === undefined || socket === undefined) throw new Error("--dir and --socket");
await runRunner({ dir, socket });
