/** Types and lint, without tests. */
import { lint, types } from "./tasks.ts";

const ok = [await types(), await lint()].every(Boolean);
process.exit(ok ? 0 : 1);
