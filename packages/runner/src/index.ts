export type * from "./api.ts";
export { RUNNER_VERSION } from "./api.ts";
export { connectRunner } from "./client.ts";
export { descendsFrom } from "./descent.ts";
export { type RunnerOptions, runRunner } from "./main.ts";
export { type StartOptions, startRunner } from "./start.ts";
