/** One command of a caller whose daemon may die at any moment, and who asks the next one what became of it. */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { MxError } from "@mx-agent/base";
import type { ExecOutput, ExecParams, ExecResult } from "@mx-agent/ipc";
import type { IpcClient } from "@mx-agent/ipc/client";
import type { Box } from "./box.ts";

const LOOK_MS = 50;

/** What the caller heard in the end. */
export type Outcome =
  | { type: "exited"; exit_code: number | null; stdout: string }
  | { type: "interrupted"; stdout: string }
  /** The daemon died before the request was on record: it is sure that nothing was asked. */
  | { type: "never recorded" }
  | { type: "other"; detail: unknown };

export interface ErrandOptions {
  number: number;
  caller: Box;
  room: string;
  project: string;
  /** How long the command takes. */
  ms: number;
}

export class Errand {
  /** Gets a line each time the command begins. */
  readonly file: string;
  readonly exit_code: number;
  readonly output: string;
  readonly #caller: Box;
  readonly #params: ExecParams;

  constructor({ number, caller, room, project, ms }: ErrandOptions) {
    this.file = join(project, `errand-${number}`);
    this.exit_code = number % 100;
    this.output = `begin ${number}\nend ${number}\n`;
    this.#caller = caller;
    const script = `echo started >> ${this.file}; echo begin ${number}; sleep ${ms / 1000}; echo end ${number}; exit ${this.exit_code}`;
    this.#params = {
      room,
      agent: "builder",
      command: ["sh", "-c", script],
      cwd: project,
      env: {},
      timeout_ms: null,
      stdin: false,
      detach: false,
    };
  }

  async run(): Promise<Outcome> {
    const client = await this.#connected();
    const heard = new Heard();
    try {
      const call = client.call("exec.run", this.#params);
      await heard.all(call.output);
      return outcomeOf(await call.result, heard.stdout);
    } catch (error) {
      if (!isLost(error)) return { type: "other", detail: error };
      return heard.invocation_id === undefined
        ? { type: "never recorded" }
        : this.#takeUp(heard.invocation_id);
    } finally {
      client.close();
    }
  }

  /** What `mx-agent exec` does when its daemon went away, as often as it takes. */
  async #takeUp(invocation_id: string): Promise<Outcome> {
    for (;;) {
      const client = await this.#connected();
      const heard = new Heard();
      try {
        const logs = client.call("invocation.logs", { invocation_id, follow: true, since_ts: null });
        await heard.all(logs.output);
        await logs.result;
        const result = await client.call("invocation.wait", { invocation_id }).result;
        return outcomeOf(result, heard.stdout);
      } catch (error) {
        if (error instanceof MxError && error.code === "MX_NOT_FOUND") return { type: "never recorded" };
        if (!isLost(error)) return { type: "other", detail: error };
      } finally {
        client.close();
      }
    }
  }

  async #connected(): Promise<IpcClient> {
    for (;;) {
      try {
        return await this.#caller.connect();
      } catch (error) {
        if (!isLost(error)) throw error;
        await pause(LOOK_MS);
      }
    }
  }
}

class Heard {
  stdout = "";
  invocation_id: string | undefined;

  async all(output: AsyncIterable<ExecOutput>): Promise<void> {
    for await (const item of output) {
      if (item.type === "requested") this.invocation_id = item.invocation_id;
      if (item.type === "chunk" && item.stream === "stdout")
        this.stdout += Buffer.from(item.data, "base64").toString("utf8");
    }
  }
}

function outcomeOf(result: ExecResult, stdout: string): Outcome {
  if (result.type !== "finished") return { type: "other", detail: result };
  const { outcome, exit_code, complete } = result.result;
  if (outcome === "interrupted") return { type: "interrupted", stdout };
  if (outcome === "exited" && complete !== false) return { type: "exited", exit_code, stdout };
  return { type: "other", detail: result };
}

function isLost(error: unknown): boolean {
  return (
    error instanceof MxError && (error.code === "MX_DAEMON_UNREACHABLE" || error.code === "MX_NOT_RUNNING")
  );
}
