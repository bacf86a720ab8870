/** One call in progress on the daemon's side. */
import { type MxError, mxError } from "@mx-agent/base";
import { createJSONRPCNotification } from "json-rpc-2.0";
import type { CallContext, Peer } from "./contract.ts";
import type { Input, MethodName, Output } from "./methods.ts";
import { badParams } from "./rpc-errors.ts";
import { ItemReader, ItemSender } from "./stream.ts";
import { ACK, type CallId, ITEM } from "./wire.ts";

export class ServerCall<M extends MethodName> {
  readonly #controller = new AbortController();
  readonly #input: ItemReader<Input<M>>;
  readonly #output: ItemSender<Output<M>>;
  readonly #parseInput: ((item: unknown) => Input<M>) | undefined;
  readonly #finished = Promise.withResolvers<void>();
  #abortedBy: MxError | undefined;

  /** `parseInput` is undefined for a method that takes no items. */
  constructor(
    id: CallId,
    parseInput: ((item: unknown) => Input<M>) | undefined,
    post: (note: object) => number,
  ) {
    this.#parseInput = parseInput;
    this.#output = new ItemSender((item) => post(createJSONRPCNotification(ITEM, { id, item })));
    this.#input = new ItemReader((bytes) => post(createJSONRPCNotification(ACK, { id, bytes })));
  }

  context(peer: Peer): CallContext<M> {
    return {
      peer,
      signal: this.#controller.signal,
      send: (item) => this.#output.send(item),
      input: this.#input,
    };
  }

  /** Why the call was ended from outside, when it was. */
  get abortedBy(): MxError | undefined {
    return this.#abortedBy;
  }

  /** Resolves when the call has been answered. */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  /** Takes an item of the client. Throws when the method takes none, or not this one. */
  receive(item: unknown, bytes: number): void {
    if (this.#parseInput === undefined)
      throw mxError("MX_PROTOCOL", { detail: "this method takes no items", hint: "" });
    let input: Input<M>;
    try {
      input = this.#parseInput(item);
    } catch (error) {
      throw badParams("item", error);
    }
    this.#input.push(input, bytes);
  }

  endInput(): void {
    this.#input.end();
  }

  acknowledged(bytes: number): void {
    this.#output.acknowledged(bytes);
  }

  abort(reason: MxError): void {
    this.#abortedBy ??= reason;
    this.#controller.abort(reason);
    this.#input.end();
  }

  /** The client is gone: nothing more can be sent, and nobody waits for the answer. */
  abandon(): void {
    const gone = mxError("MX_CANCELLED");
    this.abort(gone);
    this.#output.close(gone);
  }

  /** Resolves when every item sent is written, or nobody is there to read it. */
  flushed(): Promise<void> {
    return this.#output.flushed();
  }

  finish(): void {
    this.#input.end();
    this.#output.close(mxError("MX_INTERNAL", { detail: "an item was sent after the call had ended" }));
    this.#finished.resolve();
  }
}
