import { readFileSync } from "node:fs";
import { join } from "node:path";
import { effectiveConfig, ensurePrivateDir, writeFileAtomic } from "@mx-agent/base";
import type { Cli } from "../cli.ts";
import { directories } from "../places.ts";

/** Makes the room the one that commands mean without --room, where none is; what the file says otherwise stays. */
export async function ensureDefaultRoom(cli: Cli, room_id: string): Promise<boolean> {
  const { config } = directories(cli.env);
  const { origins } = await effectiveConfig({ configDir: config, env: {} });
  if (origins.default_room.from === "file") return false;
  ensurePrivateDir(config);
  const file = join(config, "config.toml");
  const before = textOf(file);
  // In front: behind a table it would be one of its keys.
  writeFileAtomic(file, `default_room = ${JSON.stringify(room_id)}\n${before}`);
  return true;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  }
}
