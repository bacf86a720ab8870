export { type RunDaemonOptions, runDaemon } from "./main.ts";
