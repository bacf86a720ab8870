/** The services under a real systemd, as root of a machine that scripts/test-systemd.sh made for it. */
import { existsSync, renameSync, statSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type Account,
  account,
  eventually,
  must,
  policyFor,
  processesWith,
  program,
  root,
} from "./machine.ts";

const version = Number(/^systemd (\d+)/.exec(must("systemctl", "--version"))?.[1]);
const eater = [
  ...["sh", "-c"],
  "head -c 60000000 /dev/zero | tail -n 1 & head -c 60000000 /dev/zero | tail -n 1 & wait",
];
const bomb = ["sh", "-c", "i=0; while [ $i -lt 300 ]; do sleep 20 & i=$((i+1)); done; wait"];

interface Up {
  account: { user_id: string };
  workspace: { room_id: string };
  agent: { agent_id: string; fingerprint: string };
}

/** Gives the account a workspace on an embedded homeserver, an agent that it trusts itself, and a policy. */
function setUp(who: Account, policy: string, project: string): string {
  const up = who.ask<Up>("up", "--embedded", "--bind", "127.0.0.1:0", "--no-invite", "--no-e2ee");
  who.must(program, "trust", "approve", up.agent.agent_id, "--fingerprint", up.agent.fingerprint);
  writeFileSync(policy, policyFor(up.workspace.room_id, up.account.user_id, project));
  who.must(program, "daemon", "reload");
  return up.agent.agent_id;
}

function limitsOf(who: Account): string | undefined {
  const { findings }: { findings: { check: string; detail: string }[] } = JSON.parse(
    who.run(program, "doctor", "--json").stdout,
  );
  return findings.find(({ check }) => check === "limits")?.detail;
}

function stateOf(who: Account, id: string): string | undefined {
  const all = who.ask<{ invocation_id: string; side: string; state: string }[]>("invocation", "list");
  return all.find(({ invocation_id, side }) => invocation_id === id && side === "executor")?.state;
}

describe("a user's service", () => {
  const uid = 4711;
  const home = "/home/tester";
  const runtime = `/run/user/${uid}`;
  const linger = "/var/lib/systemd/linger/tester";
  const tester = account([
    ...["runuser", "-u", "tester", "--", "env", "-C", home, `HOME=${home}`, `XDG_RUNTIME_DIR=${runtime}`],
    ...["PATH=/usr/bin:/bin", "LANG=C.UTF-8"],
  ]);
  const unit = (verb: string) => tester.run("systemctl", "--user", verb, "mx-agent");
  const mainPid = () => Number(tester.must("systemctl", "--user", "show", "-P", "MainPID", "mx-agent"));
  const answers = () => tester.run(program, "daemon", "status").status === 0;
  let agent: string;
  const exec = (...rest: string[]) => ["exec", "--agent", agent, "--cwd", `${home}/project`, ...rest];

  beforeAll(async () => {
    must("useradd", "-m", "-u", String(uid), "-s", "/bin/sh", "tester");
    must("loginctl", "enable-linger", "tester");
    await eventually("the user's systemd", () => existsSync(`${runtime}/systemd/private`));
    tester.must("mkdir", `${home}/project`);
  });
  afterAll(() => {
    root("loginctl", "terminate-user", "tester");
  });

  test("is installed, runs, is started by itself and goes on after the last logout", () => {
    expect(tester.run(program, "service", "status").status).toBe(3);
    expect(tester.ask("service", "install")).toMatchObject({
      ...{ manager: "systemd", installed: true, enabled: true, active: true, lingers: true },
    });
    agent = setUp(tester, `${home}/.config/mx-agent/policy.toml`, `${home}/project`);
    expect(tester.must(program, ...exec("--", "sh", "-c", "echo it runs"))).toBe("it runs\n");
  });

  test("says that it ends with the last logout, where the user does not linger", () => {
    renameSync(linger, `${linger}.away`);
    expect(tester.run(program, "service", "status").stdout).toContain("enable-linger");
    renameSync(`${linger}.away`, linger);
  });

  test("has limits of the kernel, in a group that the user's systemd gives away", () => {
    expect(limitsOf(tester)).toContain("by a cgroup");
    for (const command of [eater, bomb])
      expect(tester.run(program, ...exec("--", ...command)).status).toBe(137);
  });

  test("leaves what runs alone when it is stopped, and finds it when it is started", async () => {
    const { invocation_id } = tester.ask<{ invocation_id: string }>(
      ...exec("--detach", "--", "sleep", "4242"),
    );
    await eventually("it runs", () => stateOf(tester, invocation_id) === "running");
    const group = must("find", "/sys/fs/cgroup", "-name", "mx-agent-run-*").trim();
    const own =
      version < 254 ? /app\.slice\/mx-agent-runner-\w+\.scope\// : /app\.slice\/mx-agent\.service\//;
    expect(group).toMatch(own);
    expect(must("cat", `${group}/memory.max`)).toBe("83886080\n");
    expect(unit("stop").status).toBe(0);
    expect(tester.run(program, "service", "status", "--json").stdout).toContain('"active":false');
    expect(processesWith("sleep 4242")).not.toEqual([]);
    for (const verb of ["start", "restart"]) {
      expect(unit(verb)).toMatchObject({ status: 0 });
      await eventually("the daemon answers", answers);
      expect(stateOf(tester, invocation_id)).toBe("running");
    }
    tester.must(program, "invocation", "cancel", invocation_id);
    await eventually("it has ended", () => processesWith("sleep 4242").length === 0);
  });

  test("is started again when it is killed", async () => {
    const killed = mainPid();
    process.kill(killed, "SIGKILL");
    await eventually("another one answers", () => ![0, killed].includes(mainPid()) && answers());
  });

  test("is removed, and the run that it started goes on", () => {
    tester.must(program, ...exec("--detach", "--", "sleep", "4343"));
    expect(tester.ask("service", "uninstall")).toEqual({ removed: true });
    expect(unit("status").status).toBe(4);
    expect(processesWith("sleep 4343")).not.toEqual([]);
  });
});

describe("a machine-wide service", () => {
  const home = "/var/lib/builder";
  const install = () => must("scripts/install-system-service.sh", "--user", "builder", program);
  const builder = account([
    ...["runuser", "-u", "builder", "--", "env", "-C", "/", `MX_AGENT_HOME=${home}`, "PATH=/usr/bin:/bin"],
  ]);
  const answers = () => eventually("it answers", () => builder.run(program, "daemon", "status").status === 0);
  let agent: string;
  const exec = (...rest: string[]) => ["exec", "--agent", agent, "--cwd", `${home}/project`, ...rest];

  test("runs under an account of its own, whose home nobody else enters", async () => {
    install();
    await answers();
    const pid = must("systemctl", "show", "-P", "MainPID", "builder").trim();
    expect(must("ps", "-o", "user=", "-p", pid).trim()).toBe("builder");
    expect(statSync(home).mode & 0o777).toBe(0o700);
    expect(root("runuser", "-u", "nobody", "--", "ls", home).status).toBe(2);
    expect(must("systemctl", "is-enabled", "builder").trim()).toBe("enabled");
    builder.must("mkdir", `${home}/project`);
    agent = setUp(builder, `${home}/config/policy.toml`, `${home}/project`);
  });

  test("is asked by operators through a command of their own", () => {
    // What sudo does for them, where the machine has none.
    const sudo = '#!/bin/sh\nuser=$2\nshift 3\nexec runuser -u "$user" -- "$@"\n';
    if (root("which", "sudo").status !== 0) writeFileSync("/usr/local/bin/sudo", sudo, { mode: 0o755 });
    expect(must("/usr/local/bin/builder-operator", "daemon", "status")).toContain("0.1.0");
  });

  test("has its limits held, by what it says", () => {
    expect(limitsOf(builder)).toContain(version < 254 ? "by a watch" : "by a cgroup");
    for (const command of [eater, bomb])
      expect(builder.run(program, ...exec("--", ...command))).toMatchObject({ status: 137 });
  });

  test("leaves what runs alone when it is installed anew, and finds it", async () => {
    const { invocation_id } = builder.ask<{ invocation_id: string }>(
      ...exec("--detach", "--", "sleep", "4444"),
    );
    await eventually("it runs", () => stateOf(builder, invocation_id) === "running");
    install();
    await answers();
    expect(processesWith("sleep 4444")).not.toEqual([]);
    expect(stateOf(builder, invocation_id)).toBe("running");
    must("systemctl", "disable", "--now", "builder");
    expect(processesWith("sleep 4444")).not.toEqual([]);
  });
});
