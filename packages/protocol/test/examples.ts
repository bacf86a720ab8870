/** One full content of each event type, every optional field present, and which fields may be absent or null. */
import type { Examples } from "./examples/fixtures.ts";
import { others } from "./examples/others.ts";
import { runs } from "./examples/runs.ts";
import { state } from "./examples/state.ts";

export const examples: Examples = { ...runs, ...others, ...state };
