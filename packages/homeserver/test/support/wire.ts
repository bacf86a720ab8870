import { connect, type Socket } from "node:net";
import { expect } from "vitest";
import type { Seen, Witness } from "./witness.ts";

/** A connection by hand: what came on it, and whether the server has ended it. */
export class Wire {
  readonly socket: Socket;
  text = "";
  readonly #reads: boolean;
  #sent = "";
  #closed = false;

  constructor(port: number, reads = true) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.#closed = true;
    });
    this.#reads = reads;
    if (!reads) return;
    this.socket.on("data", (bytes) => {
      this.text += bytes.toString("latin1");
    });
  }

  write(text: string): this {
    this.#sent += text;
    this.socket.write(text, "latin1");
    return this;
  }

  /** Whoever does not read learns of the end by writing. */
  get closed(): boolean {
    if (!this.#reads && !this.#closed) this.socket.write("\r\n");
    return this.#closed;
  }

  /** The server has hung up. */
  async ended(): Promise<void> {
    await expect.poll(() => this.closed, { timeout: 15_000 }).toBe(true);
  }

  /** The statuses of the answers so far. */
  get statuses(): string[] {
    return answersIn(this.text).map(({ status }) => String(status));
  }

  /** Shows a witness each answer that came in full, with the request that it is for. */
  show(witness: Witness): void {
    const requests = [...this.#sent.matchAll(/^([A-Z]+) (\/\S*) HTTP\/1\.[01]\r$/gm)];
    for (const [i, answer] of answersIn(this.text).entries()) {
      if (!answer.whole) continue;
      const [, method, path] = requests[i] ?? [];
      const refused = answer.closes && answer.status >= 400;
      witness.see(
        method === undefined || path === undefined || refused ? undefined : { method, path },
        answer,
      );
    }
  }
}

interface OnWire extends Seen {
  readonly closes: boolean;
  readonly whole: boolean;
}

/** The answers in what came on a connection; of one that is not there in full, as much as there is. */
function answersIn(text: string): OnWire[] {
  const answers: OnWire[] = [];
  let rest = text;
  for (;;) {
    const [head, status] = /^HTTP\/1\.1 (\d{3})[\s\S]*?\r\n\r\n/.exec(rest) ?? [];
    if (head === undefined) {
      // Bytes that belong to no answer would pass unseen.
      expect("HTTP/1.1 ".startsWith(rest.slice(0, 9)), rest.slice(0, 100)).toBe(true);
      return answers;
    }
    const header = (name: string) => new RegExp(`^${name}: (.*)\r$`, "im").exec(head)?.[1] ?? null;
    const end = head.length + Number(header("Content-Length") ?? 0);
    const whole = rest.length >= end;
    const body = Buffer.from(rest.slice(head.length, end), "latin1").toString("utf8");
    rest = rest.slice(end);
    // 100 Continue is none yet.
    if (Number(status) < 200) continue;
    answers.push({
      status: Number(status),
      contentType: header("Content-Type"),
      body,
      closes: header("Connection") === "close",
      whole,
    });
  }
}
