import { readFileSync } from "node:fs";

/** The version of mx-agent: put in by the build, read from the package in a checkout. */
export function version(): string {
  return process.env.MX_AGENT_VERSION ?? fromPackage();
}

function fromPackage(): string {
  const manifest: { version: string } = JSON.parse(
    readFileSync(new URL("../../../package.json", import.meta.url), "utf8"),
  );
  return manifest.version;
}
