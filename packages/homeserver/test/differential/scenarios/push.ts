import { enc, type Scenario } from "../story.ts";

export const push: Scenario[] = [
  {
    name: "push rules",
    async play(story) {
      const [alice] = await story.people("alice");
      const rule = (kind: string, id: string) => `/pushrules/global/${kind}/${enc(id)}`;
      await alice.get(rule("override", ".m.rule.master"));
      await alice.get(`${rule("override", ".m.rule.master")}/enabled`);
      await alice.put(`${rule("override", ".m.rule.master")}/enabled`, { enabled: true });
      await alice.get(`${rule("override", ".m.rule.master")}/enabled`);
      await alice.put(`${rule("override", ".m.rule.master")}/enabled`, { enabled: "yes" });
      await alice.get(`${rule("underride", ".m.rule.message")}/actions`);
      await alice.put(`${rule("underride", ".m.rule.message")}/actions`, { actions: ["notify"] });
      await alice.get(`${rule("underride", ".m.rule.message")}/actions`);
      await alice.put(rule("content", "cake"), { pattern: "cake", actions: ["notify"] });
      await alice.get(rule("content", "cake"));
      await alice.put(rule("room", "!room:localhost"), { actions: [] });
      await alice.put(rule("override", "mine"), {
        actions: ["notify"],
        conditions: [{ kind: "event_match", key: "type", pattern: "com.example.*" }],
      });
      await alice.put(rule("override", ".mine"), { actions: [], conditions: [] }, "a name with a dot first");
      await alice.put(rule("content", "no.pattern"), { actions: ["notify"] });
      await alice.put(rule("unknown", "x"), { actions: [] });
      await alice.delete(rule("content", "cake"));
      await alice.get(rule("content", "cake"));
      await alice.delete(rule("content", "cake"), undefined, "once more");
      await alice.get(rule("content", "none"));
      await alice.delete(rule("override", ".m.rule.master"), undefined, "a default rule");
    },
  },
];
