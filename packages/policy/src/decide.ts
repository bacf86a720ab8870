/**
 * The decision. Pure but for looking at the machine that is handed in; the steps that it returns are
 * the evaluation itself, so that what `policy explain` shows and what is done cannot differ.
 *
 * Entries add up. Each entry that names the user is asked on its own, with its own restrictions; what
 * several of them allow is combined to the widest of each. So no entry takes away what another gives,
 * and removing one, lowering a limit or deepening a path never allows more.
 */
import { type DenyCode, denyCodes } from "./codes.ts";
import type { Decision, Denial, Permission, PolicyRequest, PolicyStep } from "./decision.ts";
import { askEntry, type Outcome } from "./entry.ts";
import { combine } from "./grant.ts";
import type { Machine } from "./machine.ts";
import type { Entry, LoadedPolicy, Policy, Room } from "./model.ts";
import { showProblem } from "./problems.ts";
import { entryChecks, type Refusal } from "./program.ts";

/** Whether what is asked is denied, held or allowed, with which limits, and why. */
export function decide(loaded: LoadedPolicy, request: PolicyRequest, machine: Machine): Decision {
  const steps: PolicyStep[] = [];
  const pass = (check: string, rule: string | null, detail: string | null) =>
    steps.push({ check, outcome: "pass", reason: null, code: null, rule, detail });

  if (loaded.state !== "ok") return deny(steps, "file", unusable(loaded));
  const { policy } = loaded;
  pass("file", policy.file, null);

  const room = policy.rooms.get(request.room_id);
  if (!room) return deny(steps, "room", unlisted(policy, "room_not_listed", request));
  pass("room", room.rule, null);
  if (request.ask.kind === "exec" && !room.trusted) {
    const peer = "this room is not trusted with commands on that machine";
    return deny(steps, "trusted", {
      code: "room_not_trusted",
      rule: room.rule,
      detail: "trusted is not true",
      peer,
    });
  }
  if (request.ask.kind === "exec") pass("trusted", room.rule, null);

  const entries = room.entries.filter((entry) => names(entry, request.user_id, policy));
  if (entries.length === 0)
    return deny(steps, "user", { ...unlisted(policy, "user_not_listed", request), rule: room.rule });
  pass("user", room.rule, `named by ${entries.map((entry) => entry.subject).join(", ")}`);

  const deviceChecked = demandsDevice(room, entries);
  const answers = entries.map((entry) => ({
    entry,
    outcome: askEntry(entry, { request, policy, room, machine, deviceChecked }),
  }));
  for (const { entry, outcome } of answers) steps.push(...stepsOf(entry, outcome));
  return conclude(answers, room, request, deviceChecked, steps);
}

/** What is demanded of every request of this user in this room, whatever it asks: checked before the policy. */
export function requirements(
  loaded: LoadedPolicy,
  room_id: string,
  user_id: string,
): { require_verified_device: boolean } {
  const room = loaded.state === "ok" ? loaded.policy.rooms.get(room_id) : undefined;
  if (loaded.state !== "ok" || !room) return { require_verified_device: false };
  const entries = room.entries.filter((entry) => names(entry, user_id, loaded.policy));
  return { require_verified_device: demandsDevice(room, entries) };
}

/** How many runs a room's users may have at once, each: the widest of its entries; 0 where nothing is allowed. */
export function capacityOf(loaded: LoadedPolicy, room_id: string): number {
  const room = loaded.state === "ok" ? loaded.policy.rooms.get(room_id) : undefined;
  return Math.max(0, ...(room?.entries ?? []).map((entry) => entry.settings.maxConcurrent));
}

/** Entries add up, so that one which does not demand it is a way in; an entry's own demand is checked with it. */
function demandsDevice(room: Room, entries: Entry[]): boolean {
  return (
    room.requireVerifiedDevice ||
    (entries.length > 0 && entries.every((entry) => entry.requireVerifiedDevice))
  );
}

function names(entry: Entry, user: string, policy: Policy): boolean {
  if (entry.rank === 1) return policy.groups.get(entry.subject.slice("group:".length))?.has(user) === true;
  return entry.subject === "*" || entry.subject === user;
}

type Answer = { entry: Entry; outcome: Outcome };

function conclude(
  answers: Answer[],
  room: Room,
  request: PolicyRequest,
  deviceChecked: boolean,
  steps: PolicyStep[],
): Decision {
  for (const effect of ["allow", "hold"] as const) {
    const [first, ...others] = answers.flatMap(({ entry, outcome }) =>
      outcome.effect === effect ? [{ entry, program: outcome.program }] : [],
    );
    if (!first) continue;
    const permission: Permission = {
      effect,
      rule: [first, ...others].map(({ entry }) => entry.rule()).join("; "),
      approvers: room.approvers,
      grant: combine(first, others, request, deviceChecked),
      steps,
    };
    return permission;
  }
  const furthest = answers
    .flatMap(({ entry, outcome }) => (outcome.effect === "deny" ? [{ entry, outcome }] : []))
    .toSorted((a, b) => entryChecks.indexOf(b.outcome.at) - entryChecks.indexOf(a.outcome.at))[0];
  if (!furthest) throw new Error("no entry answered");
  const { code, key, peer } = furthest.outcome.refusal;
  return denial(steps, code, furthest.entry.rule(key), peer);
}

function stepsOf(entry: Entry, outcome: Outcome): PolicyStep[] {
  const step = (check: string, rule: string): PolicyStep => ({
    check,
    outcome: "pass",
    reason: null,
    code: null,
    rule,
    detail: null,
  });
  const passed = outcome.passed.map((check) => step(`${entry.subject}: ${check}`, entry.rule(keyOf[check])));
  if (outcome.effect === "allow") return passed;
  if (outcome.effect === "hold") {
    return [
      ...passed,
      {
        ...step(`${entry.subject}: approval`, entry.rule("requires_approval")),
        outcome: "hold",
        detail: outcome.held,
      },
    ];
  }
  return [
    ...passed,
    refused(`${entry.subject}: ${outcome.at}`, outcome.refusal, entry.rule(outcome.refusal.key)),
  ];
}

function refused(
  check: string,
  { code, detail }: Pick<Refusal, "code" | "detail">,
  rule: string,
): PolicyStep {
  return { check, outcome: "refuse", reason: denyCodes[code].reason, code, rule, detail };
}

const keyOf: Record<(typeof entryChecks)[number], string> = {
  exec: "allow_exec",
  command: "allow_commands",
  tool: "allow_tools",
  input: "allow_tools",
  cwd: "allow_cwd",
  args: "deny_args_regex",
  env: "env_allowlist",
  sandbox: "sandbox",
  device: "require_verified_device",
  approval: "requires_approval",
};

type Whole = { code: DenyCode; rule: string; detail: string; peer: string | null };

function unusable(loaded: Exclude<LoadedPolicy, { state: "ok" }>): Whole {
  if (loaded.state === "missing") {
    return {
      code: "policy_missing",
      rule: loaded.file,
      detail: `there is no ${loaded.file}; \`mx-agent policy init\` writes one that allows nothing`,
      peer: "that machine has no policy, and allows nothing; its operator can write one with `mx-agent policy init`",
    };
  }
  const [problem] = loaded.problems;
  const name = loaded.file.slice(loaded.file.lastIndexOf("/") + 1);
  const place = problem ? ` (${name}:${problem.line}${problem.key === "" ? "" : ` ${problem.key}`})` : "";
  return {
    code: "policy_invalid",
    rule: problem ? `${problem.file}:${problem.line} ${problem.key}`.trimEnd() : loaded.file,
    detail: loaded.problems.map(showProblem).join("\n"),
    peer: `the policy of that machine is malformed and denies everything${place}; its operator can see more with \`mx-agent policy check\``,
  };
}

function unlisted(
  policy: Policy,
  code: "room_not_listed" | "user_not_listed",
  request: PolicyRequest,
): Whole {
  return {
    code,
    rule: policy.file,
    detail:
      code === "room_not_listed"
        ? `${request.room_id} has no table in [rooms]`
        : `no entry names ${request.user_id}`,
    peer: `nothing is allowed to ${request.user_id} in this room; the operator of that machine can change it with \`mx-agent policy allow\``,
  };
}

function deny(steps: PolicyStep[], check: string, { code, rule, detail, peer }: Whole): Denial {
  steps.push(refused(check, { code, detail }, rule));
  return denial(steps, code, rule, peer);
}

function denial(steps: PolicyStep[], code: DenyCode, rule: string, peer: string | null): Denial {
  return { effect: "deny", reason: denyCodes[code].reason, code, rule, detail: peer, steps };
}
