import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { RequestType } from "@matrix-org/matrix-sdk-crypto-wasm";
import { onTestFinished } from "vitest";
import type { OlmDeviceMethods } from "./fixtures/olm-device.ts";

const program = fileURLToPath(new URL("./fixtures/olm-device.ts", import.meta.url));

interface Request {
  id: string | undefined;
  type: RequestType;
  body: string;
  eventType?: string;
}

/** A device in a process that can be killed and started again on the same files. */
export class OlmDevice {
  readonly user: string;
  readonly device = "DEVICE";
  readonly #directory: string;
  readonly #waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  #child: ChildProcess | undefined;
  #calls = 0;

  static async start(root: string, name: string): Promise<OlmDevice> {
    const device = new OlmDevice(root, name);
    onTestFinished(() => device.kill());
    await device.restart();
    return device;
  }

  private constructor(root: string, name: string) {
    this.user = `@${name}:example.org`;
    this.#directory = join(root, name);
    mkdirSync(this.#directory, { recursive: true });
  }

  async restart(): Promise<void> {
    const child = fork(program, [this.#directory, this.user, this.device], { execArgv: [] });
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      child.once("exit", (status, signal) => reject(new Error(`ended: ${status ?? signal}`)));
      child.on("message", (message: { ready?: boolean; id: number; result: never; error?: string }) => {
        if (message.ready) return resolve();
        const call = this.#waiting.get(message.id);
        this.#waiting.delete(message.id);
        if (message.error === undefined) call?.resolve(message.result);
        else call?.reject(new Error(message.error));
      });
    });
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  call<M extends keyof OlmDeviceMethods>(
    method: M,
    ...args: Parameters<OlmDeviceMethods[M]>
  ): Promise<Awaited<ReturnType<OlmDeviceMethods[M]>>> {
    const id = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child?.send({ id, method, args });
    });
  }
}

/** What a homeserver does with keys and to-device messages, for devices that trust it with no more. */
export class KeyServer {
  readonly #devices = new Map<string, object>();
  readonly #oneTimeKeys = new Map<string, [string, object][]>();
  readonly #inbox = new Map<string, object[]>();
  /** Every one-time key that was ever uploaded; an id that comes again with another key is a conflict. */
  readonly #uploaded = new Map<string, string>();

  /** Sends whatever the device has to send. */
  async pump(device: OlmDevice): Promise<void> {
    for (;;) {
      const requests = await device.call("outgoing");
      if (requests.length === 0) return;
      for (const request of requests) await this.answer(device, request);
    }
  }

  async answer(device: OlmDevice, request: Request): Promise<void> {
    const response = JSON.stringify(this.receive(device, request));
    if (request.id !== undefined) await device.call("sent", request.id, request.type, response);
  }

  /** The request arrives here; its answer, which may never reach the device. */
  receive(device: OlmDevice, request: Request): object {
    const body = JSON.parse(request.body);
    switch (request.type) {
      case RequestType.KeysUpload:
        return this.#upload(device.user, body);
      case RequestType.KeysQuery:
        return {
          device_keys: Object.fromEntries(Object.keys(body.device_keys).map((u) => [u, this.#query(u)])),
        };
      case RequestType.KeysClaim:
        return {
          one_time_keys: Object.fromEntries(Object.keys(body.one_time_keys).map((u) => [u, this.#claim(u)])),
        };
      case RequestType.ToDevice:
        for (const [user, messages] of Object.entries<Record<string, object>>(body.messages))
          for (const content of Object.values(messages))
            this.#queue(user).push({ type: request.eventType, sender: device.user, content });
        return {};
      default:
        throw new Error(`no request of the type ${request.type} was expected`);
    }
  }

  /** One /sync: the to-device messages so far, and how many one-time keys are left. */
  async sync(device: OlmDevice) {
    const messages = JSON.stringify(this.#queue(device.user).splice(0));
    return device.call("sync", messages, this.#oneTimeKeys.get(device.user)?.length ?? 0);
  }

  #upload(user: string, body: { device_keys?: object; one_time_keys?: Record<string, object> }): object {
    if (body.device_keys) this.#devices.set(user, body.device_keys);
    const keys = this.#oneTimeKeys.get(user) ?? [];
    for (const [id, key] of Object.entries(body.one_time_keys ?? {})) {
      const before = this.#uploaded.get(user + id);
      if (before === undefined) keys.push([id, key]);
      else if (before !== JSON.stringify(key))
        throw new Error(`one-time key ${id} of ${user} already exists`);
      this.#uploaded.set(user + id, JSON.stringify(key));
    }
    this.#oneTimeKeys.set(user, keys);
    return { one_time_key_counts: { signed_curve25519: keys.length } };
  }

  #query(user: string): object {
    const keys = this.#devices.get(user);
    return keys ? { DEVICE: keys } : {};
  }

  #claim(user: string): object {
    const next = this.#oneTimeKeys.get(user)?.shift();
    return next ? { DEVICE: { [next[0]]: next[1] } } : {};
  }

  #queue(user: string): object[] {
    const queue = this.#inbox.get(user) ?? [];
    this.#inbox.set(user, queue);
    return queue;
  }
}
