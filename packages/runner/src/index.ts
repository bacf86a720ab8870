export type * from "./api.ts";
export { RUNNER_VERSION } from "./api.ts";
