import fc from "fast-check";
import { expect, test } from "vitest";
import { decide, loadPolicy } from "../src/index.ts";
import { isInside } from "../src/paths.ts";
import { policies, requests, toToml } from "./support/arbitrary.ts";
import { machine } from "./support/machine.ts";
import { neverWider, outcome } from "./support/widening.ts";

test("removing a rule, lowering a limit or deepening a path never allows more", () => {
  neverWider(15);
});

test("what is granted never exceeds what was asked, and always runs what was asked", () => {
  fc.assert(
    fc.property(policies, requests, (policy, request) => {
      const decision = outcome(policy, request);
      if (!decision || decision.effect === "deny") return;
      const { grant } = decision;
      if (request.timeout_ms !== null)
        expect(grant.limits.max_runtime_ms).toBeLessThanOrEqual(Math.max(1, request.timeout_ms));
      expect(grant.env).toEqual(request.env);
      if (request.ask.kind === "exec") expect(grant.argv.slice(1)).toEqual(request.ask.command.slice(1));
      expect(["/srv", "/tmp", "/etc"].some((directory) => isInside(grant.cwd.path, directory))).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test("the steps and the decision never differ", () => {
  fc.assert(
    fc.property(policies, requests, (policy, request) => {
      const loaded = loadPolicy(toToml(policy), "policy.toml", machine);
      if (loaded.state !== "ok") return;
      const decision = decide(loaded, request, machine);
      const approvals = decision.steps.filter((step) => step.check.endsWith(": approval"));
      const told = approvals.some((step) => step.outcome === "pass")
        ? "allow"
        : approvals.length > 0
          ? "hold"
          : "deny";
      expect(told).toBe(decision.effect);
      if (decision.effect === "deny") {
        const refusals = decision.steps.filter((step) => step.outcome === "refuse");
        expect(refusals).toContainEqual(
          expect.objectContaining({ code: decision.code, reason: decision.reason, rule: decision.rule }),
        );
      }
      // The same question has the same answer.
      expect(decide(loaded, structuredClone(request), machine)).toEqual(decision);
    }),
    { numRuns: 300 },
  );
});

test("no text at all makes loading or deciding throw", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.tuple(policies, fc.nat(), fc.string({ maxLength: 3 })).map(([policy, at, noise]) => {
          const text = toToml(policy);
          const cut = at % (text.length + 1);
          return text.slice(0, cut) + noise + text.slice(cut + noise.length);
        }),
      ),
      requests,
      (text, request) => {
        const loaded = loadPolicy(text, "policy.toml", machine);
        if (loaded.state === "invalid") {
          expect(loaded.problems.length).toBeGreaterThan(0);
          expect(
            loaded.problems.every((problem) => problem.line >= 1 && problem.line <= text.split("\n").length),
          ).toBe(true);
        }
        expect(["allow", "hold", "deny"]).toContain(decide(loaded, request, machine).effect);
      },
    ),
    { numRuns: 300 },
  );
});

test("a pattern that backtracks elsewhere answers in time that grows with its input alone", () => {
  const text = `version = 1
[rooms."!a:x"]
trusted = true
[rooms."!a:x".agents."*"]
allow_exec = true
allow_commands = ["git"]
allow_cwd = ["/srv/project"]
deny_args_regex = ['(a+)+', '(a|aa)+$', '(.*)*x', '(a|a?)+b', '([a-z]+)*=']
`;
  const loaded = loadPolicy(text, "policy.toml", machine);
  const ask = (argument: string) =>
    decide(
      loaded,
      {
        room_id: "!a:x",
        user_id: "@u:x",
        ask: { kind: "exec", command: ["git", argument] },
        cwd: "/srv/project",
        env: {},
        timeout_ms: null,
      },
      machine,
    );
  // Each of these would take a backtracking engine longer than there is time.
  expect(ask(`${"a".repeat(30_000)}!`).effect).toBe("allow");
  expect(ask("a".repeat(30_000))).toMatchObject({ code: "args_denied" });
});
