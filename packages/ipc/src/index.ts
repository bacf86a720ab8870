export type * from "./contract.ts";
export * from "./methods.ts";
