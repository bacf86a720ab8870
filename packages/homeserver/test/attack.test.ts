import { attack } from "./support/attack.ts";

attack(0.02);
