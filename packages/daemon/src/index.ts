export { inspectMachine } from "./diagnose.ts";
export { type RunDaemonOptions, runDaemon } from "./main.ts";
export { inspectHomeserver } from "./matrix/inspect.ts";
