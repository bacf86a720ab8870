/** One `up` or `join` at a time sets a home up; the next one finds what that one did. */
import { join } from "node:path";
import { MxError, mxError } from "@mx-agent/base";
import type { Cli } from "../cli.ts";
import { directories } from "../places.ts";
import { doing } from "./progress.ts";

const WAIT_MS = 120_000;
const LOOK_MS = 50;

/** Waits until no other process sets this home up, then does it. MX_TIMED_OUT after two minutes. */
export async function alone<T>(cli: Cli, work: () => Promise<T>): Promise<T> {
  const release = await lock(cli);
  try {
    return await work();
  } finally {
    release();
  }
}

/** Held as long as the process lives: Node has no flock, SQLite has one everywhere. */
async function lock(cli: Cli): Promise<() => void> {
  const { DatabaseSync } = await import("node:sqlite");
  const file = join(directories(cli.env).data, "setup.lock");
  for (let waited = 0; waited < WAIT_MS; waited += LOOK_MS) {
    const database = new DatabaseSync(file, { timeout: 0 });
    try {
      database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
      return () => database.close();
    } catch (error) {
      database.close();
      if (!(error instanceof Error && /locked|busy/i.test(error.message))) throw error;
    }
    if (waited === 0) await doing(cli, "waiting for another `up` or `join` that sets this machine up");
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  throw new MxError({
    ...mxError("MX_TIMED_OUT", {
      what: "another `up` or `join` of this machine",
      seconds: WAIT_MS / 1000,
    }).toJSON(),
    hint: "it may be waiting for somebody at its terminal; end it there, and run this again",
  });
}
