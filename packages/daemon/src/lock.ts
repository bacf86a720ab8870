import { readFileSync, rmSync } from "node:fs";
import { mxError, writeFileAtomic } from "@mx-agent/base";
import type { Database } from "./state/database.ts";

interface Notice {
  pid: number;
  started_at: string;
}

/**
 * Opens the state database, whose exclusive lock makes this the only daemon of its home, and leaves a notice of
 * who holds it. MX_ALREADY_RUNNING names the one that does.
 */
export function openExclusively(open: () => Database, noticeFile: string): Database {
  try {
    const db = open();
    writeNotice(noticeFile);
    return db;
  } catch (error) {
    if (isBusy(error))
      throw mxError("MX_ALREADY_RUNNING", { pid: holder(noticeFile) ?? "unknown" }, { cause: error });
    throw error;
  }
}

/** Says who holds the lock. */
export function writeNotice(noticeFile: string): void {
  const notice: Notice = { pid: process.pid, started_at: new Date().toISOString() };
  writeFileAtomic(noticeFile, JSON.stringify(notice));
}

export function removeNotice(noticeFile: string): void {
  rmSync(noticeFile, { force: true });
}

function holder(noticeFile: string): number | undefined {
  try {
    const notice: Partial<Notice> = JSON.parse(readFileSync(noticeFile, "utf8"));
    return notice.pid;
  } catch {
    return undefined;
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && (error.errcode === 5 || error.errcode === 261);
}
