/** Heads of an audit log, as a person or another machine gives them. */
import { readFile } from "node:fs/promises";
import { mxError } from "@mx-agent/base";
import type { Cli } from "../cli.ts";

interface Head {
  seq: number;
  sha256: string;
  key_id: string | null;
}

/** `120:ungWv48B…=`. MX_USAGE when it is none. */
export function headOf(text: string): Head {
  const [, seq, sha256] = /^(\d+):([A-Za-z0-9+/]{43}=)$/.exec(text) ?? [];
  if (seq === undefined || sha256 === undefined)
    throw mxError("MX_USAGE", {
      detail: `--head: ${text} is not NUMBER:SHA256, with the SHA-256 in base64`,
      command: "audit verify",
    });
  return { seq: Number(seq), sha256, key_id: null };
}

/** What `audit heads --json` wrote; `-` is stdin. MX_BAD_INPUT when it is something else. */
export async function headsIn(cli: Cli, file: string | undefined): Promise<Head[]> {
  if (file === undefined) return [];
  const text = file === "-" ? await textOf(cli.stdin) : await readFile(file, "utf8").catch(unreadable(file));
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value)) return value.map(parse);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw unusable(file);

  function parse(value: unknown): Head {
    const { seq, sha256, key_id }: Partial<Record<string, unknown>> = Object(value);
    if (typeof seq !== "number" || typeof sha256 !== "string" || typeof key_id !== "string")
      throw unusable(file ?? "");
    return { seq, sha256, key_id };
  }
}

const unusable = (file: string) =>
  mxError("MX_BAD_INPUT", {
    detail: `${file} is not what \`mx-agent audit heads --json\` shows`,
    hint: "on another machine: mx-agent audit heads --agent NAME --json > heads.json",
  });

const unreadable = (file: string) => (error: unknown) => {
  throw mxError("MX_BAD_INPUT", {
    detail: `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    hint: "name a file, or - for stdin",
  });
};

async function textOf(stdin: AsyncIterable<unknown>): Promise<string> {
  const parts: string[] = [];
  for await (const part of stdin) parts.push(String(part));
  return parts.join("");
}
