export { type ManPage, manPages } from "./man/page.ts";
export { cliReference } from "./reference.ts";
export { launchdAgent, type ServiceText, systemdUnit } from "./service/text.ts";
