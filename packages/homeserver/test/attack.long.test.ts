import { attack } from "./support/attack.ts";

attack(Number(process.env.MX_TEST_SCALE ?? "1"));
