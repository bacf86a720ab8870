/** What a server of the method table hands to a handler, and what a client gets for a call. */
import type { Input, MethodName, Output, Params, Result, Role } from "./methods.ts";

export interface Peer {
  role: Role;
  uid: number;
  /** null where the system does not tell. */
  pid: number | null;
}

export interface CallContext<M extends MethodName> {
  peer: Peer;
  /**
   * Aborted with MX_CANCELLED when the client cancels the call or goes away, and with MX_NOT_RUNNING
   * when this server closes: its client may come back and ask again.
   */
  signal: AbortSignal;
  /** Sends one output item; resolves when the reader's window has room for the next. */
  send(item: Output<M>): Promise<void>;
  /** Input items in order; ends when the client ends them or goes away. */
  input: AsyncIterable<Input<M>>;
}

export type Handler<M extends MethodName> = (
  params: Params<M>,
  context: CallContext<M>,
) => Promise<Result<M>>;

/**
 * Parameters, and the input items of methods that take any, arrive as unknown and are parsed by the
 * daemon before the handler sees them. What a parser throws is the call's answer.
 */
export type Handlers = {
  [M in MethodName]: {
    parse(params: unknown): Params<M>;
    handle: Handler<M>;
  } & ([Input<M>] extends [never] ? unknown : { parseInput(item: unknown): Input<M> });
};

export interface ActiveCall<M extends MethodName> {
  /** Output items in order; reading them is what moves the window. */
  output: AsyncIterable<Output<M>>;
  /** Sends one input item; resolves when the daemon's window has room for the next. */
  send(item: Input<M>): Promise<void>;
  /** Says that no more input comes. */
  end(): void;
  /** Rejects with an MxError. Settles after the last output item was delivered. */
  result: Promise<Result<M>>;
  cancel(): void;
}
