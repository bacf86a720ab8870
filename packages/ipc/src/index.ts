export type * from "./contract.ts";
export * from "./methods.ts";
export type * from "./values.ts";
