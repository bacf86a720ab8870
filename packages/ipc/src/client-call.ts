/** One call in progress on the caller's side. */
import { type MxError, toMxError } from "@mx-agent/base";
import { createJSONRPCNotification } from "json-rpc-2.0/dist/models.js";
import type { ActiveCall } from "./contract.ts";
import type { Input, MethodName, Output, Result } from "./methods.ts";
import { ItemReader, ItemSender } from "./stream.ts";
import { ACK, CANCEL, type CallId, END, ITEM } from "./wire.ts";

export class ClientCall<M extends MethodName> implements ActiveCall<M> {
  readonly #id: CallId;
  readonly #post: (note: object) => number;
  readonly #output: ItemReader<Output<M>>;
  readonly #input: ItemSender<Input<M>>;
  readonly #result = Promise.withResolvers<Result<M>>();
  #settled = false;

  constructor(id: CallId, post: (note: object) => number) {
    this.#id = id;
    this.#post = post;
    this.#output = new ItemReader((bytes) => post(createJSONRPCNotification(ACK, { id, bytes })));
    this.#input = new ItemSender((item) => post(createJSONRPCNotification(ITEM, { id, item })));
    // Whoever reads the output first and asks for the result later must not be too late.
    this.#result.promise.catch(() => {});
  }

  get output(): AsyncIterable<Output<M>> {
    return this.#output;
  }

  get result(): Promise<Result<M>> {
    return this.#result.promise;
  }

  send(item: Input<M>): Promise<void> {
    return this.#input.send(item);
  }

  end(): void {
    if (this.#settled) return;
    this.#input.flushed().then(
      () => this.#settled || this.#post(createJSONRPCNotification(END, { id: this.#id })),
      () => {},
    );
  }

  cancel(): void {
    if (!this.#settled) this.#post(createJSONRPCNotification(CANCEL, { id: this.#id }));
  }

  receive(item: unknown, bytes: number): void {
    this.#output.push(item as Output<M>, bytes);
  }

  acknowledged(bytes: number): void {
    this.#input.acknowledged(bytes);
  }

  /** The result settles when the last output item was taken. */
  answered(result: unknown): void {
    this.#finish(() => this.#result.resolve(result as Result<M>));
  }

  failed(error: MxError): void {
    this.#finish(() => this.#result.reject(error));
  }

  /** The connection is gone: nothing more comes, and the result says so at once. */
  lost(error: unknown): void {
    this.#finish(() => {});
    this.#result.reject(toMxError(error));
  }

  #finish(settle: () => void): void {
    this.#settled = true;
    this.#input.close();
    this.#output.end();
    this.#output.drained.then(settle, settle);
  }
}
