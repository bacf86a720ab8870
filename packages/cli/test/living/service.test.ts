/** What service managers are told. Their programs here note how they are called: there is no user manager in a container. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { launchdAgent, systemdUnit } from "../../src/service/text.ts";
import { type Home, home } from "../support/daemon-of.ts";

const root = fileURLToPath(new URL("../../../..", import.meta.url));
const odd = {
  command: ["/opt/a b/node", "/x/100%/$HOME/mx-agent.js"],
  env: { MX_AGENT_HOME: '/home/me/"q"' },
};

let here: Home;
beforeEach(async () => {
  here = await home();
});
afterEach(() => here.close());

const unit = () => join(here.dir, ".config", "systemd", "user", "mx-agent.service");

/** A systemctl that answers with `status` and notes its arguments. */
async function systemctl(status = 0): Promise<() => string[]> {
  const bin = join(here.dir, "bin");
  const calls = join(here.dir, "calls");
  await mkdir(bin, { recursive: true });
  await writeFile(
    join(bin, "systemctl"),
    `#!/bin/sh\necho "$*" >> '${calls}'\n[ ${status} = 0 ] || echo 'Failed to connect to bus' >&2\nexit ${status}\n`,
  );
  await chmod(join(bin, "systemctl"), 0o755);
  here.env.PATH = `${bin}:${here.env.PATH}`;
  return () => (existsSync(calls) ? readFileSync(calls, "utf8").trimEnd().split("\n") : []);
}

describe("the text", () => {
  test("of the unit stops the daemon alone, and gives up where a restart does not help", () => {
    const text = systemdUnit(odd, null);
    expect(text).toMatch(/^KillMode=process$/m);
    expect(text).toMatch(/^Restart=on-failure$/m);
    expect(text).toMatch(/^RestartPreventExitStatus=.*\b78\b/m);
  });

  test("of the unit keeps words with spaces, quotes, dollars and percent signs whole", () => {
    const text = systemdUnit(odd, null);
    expect(text).toContain('ExecStart="/opt/a b/node" "/x/100%%/$$HOME/mx-agent.js"\n');
    expect(text).toContain('Environment="MX_AGENT_HOME=/home/me/\\"q\\""\n');
  });

  test("of the unit is what systemd takes, for a user and for the machine", async () => {
    const analyze = spawnSync("systemd-analyze", ["--version"]);
    // Where there is no systemd, there is no unit either.
    if (analyze.status !== 0) return;
    const env = { command: ["/bin/sh", "-c", "exit"], env: { A: "b c" } };
    for (const [name, text] of [
      ["a.service", systemdUnit(env, null)],
      ["b.service", systemdUnit(env, "root")],
    ] as const) {
      const file = join(here.dir, name);
      // A manual page that is not installed here, and what systemd before 254 does not know.
      await writeFile(file, text.replace(/^(Documentation|DelegateSubgroup)=.*\n/gm, ""));
      const { stderr, status } = spawnSync("systemd-analyze", ["verify", "--recursive-errors=no", file], {
        encoding: "utf8",
      });
      const complaints = stderr.split("\n").filter((line) => line.includes(name));
      expect([status, complaints]).toEqual([0, []]);
    }
  });

  test("of the agent leaves the process group alone, and is a property list", async () => {
    const text = launchdAgent(odd, "/tmp/<log>");
    expect(text).toMatch(/<key>AbandonProcessGroup<\/key>\s*<true\/>/);
    const open: string[] = [];
    for (const [, close, name = "", alone] of text.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
      if (alone === "/") continue;
      if (close === "/") expect(open.pop()).toBe(name);
      else open.push(name);
    }
    expect(open).toEqual([]);
    for (const word of odd.command) expect(text).toContain(`<string>${word}</string>`);
    expect(text).toContain("<string>/tmp/&lt;log&gt;</string>");
    expect(text).toMatch(/<key>SuccessfulExit<\/key>\s*<false\/>/);
  });

  test("that is in the package is what the program writes", () => {
    const installed = { command: ["/usr/local/bin/mx-agent", "daemon", "start", "--foreground"], env: {} };
    expect(readFileSync(join(root, "service/mx-agent.service"), "utf8")).toBe(systemdUnit(installed, null));
  });
});

describe.runIf(process.platform === "linux")("service", () => {
  test("install writes the unit with this program and home, starts it, and warns about the last logout", async () => {
    const calls = await systemctl();
    const { code, stdout, stderr } = await here.mx(["service", "install"]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `installed and started: ${unit()}\n` });
    expect(calls().slice(0, 4)).toEqual([
      "--user show-environment",
      "--user daemon-reload",
      "--user enable mx-agent.service",
      "--user restart mx-agent.service",
    ]);
    expect(readFileSync(unit(), "utf8")).toContain(`Environment="MX_AGENT_HOME=${here.dir}"`);
    if (!existsSync(`/var/lib/systemd/linger/${process.env.USER ?? "root"}`))
      expect(stderr).toContain("loginctl enable-linger");
  });

  test("install never writes a password into a file", async () => {
    await systemctl();
    here.env.MX_AGENT_PASSWORD = "hunter2";
    await here.mx(["service", "install"]);
    expect(readFileSync(unit(), "utf8")).not.toMatch(/hunter2|PASSWORD/);
  });

  test("install --print shows the text and changes nothing", async () => {
    const { code, stdout } = await here.mx(["service", "install", "--print"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^KillMode=process$/m);
    expect(existsSync(unit())).toBe(false);
  });

  test("install without a manager that answers changes nothing, and says what to do instead", async () => {
    await systemctl(1);
    const { code, stderr } = await here.mx(["service", "install"]);
    expect(code).toBe(78);
    expect(stderr).toMatch(/Failed to connect to bus/);
    expect(stderr).toMatch(/next: .*--print/);
    expect(existsSync(unit())).toBe(false);
  });

  test("install leaves somebody else's unit alone", async () => {
    await systemctl();
    await mkdir(dirname(unit()), { recursive: true });
    await writeFile(unit(), "[Service]\n");
    expect((await here.mx(["service", "install"])).code).toBe(74);
    expect(readFileSync(unit(), "utf8")).toBe("[Service]\n");
  });

  test("status is 3 before, and uninstall takes it away again", async () => {
    const calls = await systemctl();
    expect((await here.mx(["service", "status"])).code).toBe(3);
    await here.mx(["service", "install"]);
    const { code, stdout } = await here.mx(["service", "status", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ installed: true, enabled: true, active: true });
    expect((await here.mx(["service", "uninstall"])).stdout).toBe("the service was removed\n");
    expect(existsSync(unit())).toBe(false);
    expect(calls()).toContain("--user disable --now mx-agent.service");
    expect((await here.mx(["service", "uninstall"])).stdout).toBe("no service was installed\n");
  });
});
