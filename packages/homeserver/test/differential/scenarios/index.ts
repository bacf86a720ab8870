import type { Scenario } from "../story.ts";
import { accounts } from "./accounts.ts";
import { e2ee } from "./e2ee.ts";
import { media } from "./media.ts";
import { membership } from "./membership.ts";
import { power } from "./power.ts";
import { push } from "./push.ts";
import { rooms } from "./rooms.ts";
import { start } from "./start.ts";
import { syncing } from "./sync.ts";
import { timeline } from "./timeline.ts";

export const scenarios: Scenario[] = [
  ...start,
  ...accounts,
  ...rooms,
  ...membership,
  ...power,
  ...timeline,
  ...syncing,
  ...push,
  ...e2ee,
  ...media,
];
