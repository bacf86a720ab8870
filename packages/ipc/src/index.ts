export type * from "./contract.ts";
export type * from "./key-values.ts";
export * from "./methods.ts";
export type * from "./values.ts";
