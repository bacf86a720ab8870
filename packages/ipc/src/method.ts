/** What the method table is made of. */

/** `agent` methods are served on both sockets, `operator` methods on daemon.sock alone. */
export type Role = "agent" | "operator";

export interface Method<R extends Role, P, Result, Output = never, Input = never> {
  role: R;
  params: P;
  result: Result;
  output: Output;
  input: Input;
}

export type None = Record<never, never>;

/** The role of each method of a table, at run time. */
export type RolesOf<T extends { [M in keyof T]: { role: Role } }> = { readonly [M in keyof T]: T[M]["role"] };
