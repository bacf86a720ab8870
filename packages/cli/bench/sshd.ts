/** An OpenSSH server of our own: loopback, a port and keys of its own, everything in a temporary directory. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { freePort } from "../../../scripts/homeservers.ts";
import { spawnServer } from "../../../scripts/synapse/process.ts";

const sshd = "/usr/sbin/sshd";

export interface SshServer extends AsyncDisposable {
  /** A fresh connection that runs `command`. */
  ssh(command: string): string[];
}

export async function startSshd(): Promise<SshServer> {
  const dir = await mkdtemp(join(tmpdir(), "mx-ssh-"));
  const file = (name: string) => join(dir, name);
  for (const name of ["host", "client"])
    await promisify(execFile)("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", file(name)]);
  const port = await freePort();
  const settings = [
    ["Port", String(port)],
    ["ListenAddress", "127.0.0.1"],
    ["HostKey", file("host")],
    ["AuthorizedKeysFile", file("client.pub")],
    ["PidFile", "none"],
    ["UsePAM", "no"],
    ["StrictModes", "no"],
    ["PermitRootLogin", "yes"],
    ["MaxStartups", "100"],
  ];
  await writeFile(file("sshd_config"), settings.map((line) => `${line.join(" ")}\n`).join(""));
  // sshd run by root insists on this empty directory; its package's service would make it.
  if (process.getuid?.() === 0) await mkdir("/run/sshd", { recursive: true, mode: 0o755 });
  const server = await spawnServer(sshd, ["-D", "-e", "-f", file("sshd_config")]);
  const close = async () => {
    await server.stop();
    await rm(dir, { recursive: true, force: true });
  };
  for (let tries = 0; !(await answers(port)); tries++) {
    if (!server.running() || tries > 500) {
      await close();
      throw new Error(`sshd does not answer: ${server.complaints()}`);
    }
    await pause(10);
  }
  const options = ["BatchMode=yes", "StrictHostKeyChecking=no", `UserKnownHostsFile=${file("known")}`];
  return {
    ssh: (command) => [
      ...["ssh", "-q", "-F", "none", "-i", file("client"), "-p", String(port)],
      ...options.flatMap((option) => ["-o", option]),
      ...[`${userInfo().username}@127.0.0.1`, command],
    ],
    [Symbol.asyncDispose]: close,
  };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: "127.0.0.1" });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
