export * from "./core.ts";
export { type ContentOf, type Parsed, parseContent, schemas } from "./v1/registry.ts";
