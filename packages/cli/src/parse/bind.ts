import { mxError } from "@mx-agent/base";

/** `host:port`, with an IPv6 address in brackets. MX_USAGE for anything else. */
export function parseBind(bind: string): { host: string; port: number } {
  const at = bind.lastIndexOf(":");
  const host = bind.slice(0, at).replace(/^\[(.*)\]$/, "$1");
  const port = Number(bind.slice(at + 1));
  if (at < 1 || bind.endsWith(":") || !Number.isInteger(port) || port < 0 || port > 65_535)
    throw mxError("MX_USAGE", { detail: `--bind ${bind}: write ADDRESS:PORT`, command: "" });
  return { host, port };
}
