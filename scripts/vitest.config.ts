import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const root = fileURLToPath(new URL("..", import.meta.url));
const shared = { root, pool: "forks" as const, testTimeout: 30_000, hookTimeout: 120_000 };

/** Journeys of what brings its own homeserver, or none: on another one they would be the same. */
const withoutChoice = [
  "packages/cli/test/demo.journey.test.ts",
  "packages/cli/test/pack.journey.test.ts",
  "packages/cli/test/tarball.journey.test.ts",
  "packages/cli/test/docs/docs-commands.journey.test.ts",
  "packages/cli/test/upgrade/skew.journey.test.ts",
  "packages/cli/test/upgrade/upgrade.journey.test.ts",
  "packages/cli/test/journeys/odd-machines.journey.test.ts",
  "packages/cli/test/journeys/up-places.journey.test.ts",
  "packages/cli/test/journeys/up-tunnel.journey.test.ts",
  "packages/homeserver/test/coverage.journey.test.ts",
];
/** Journeys of what the embedded homeserver has not. */
const synapseAlone = ["packages/cli/test/journeys/oauth.journey.test.ts"];
const embedded = (process.env.MX_TEST_HOMESERVER ?? "embedded") === "embedded";

/**
 * `*.test.ts`: unit and package tests. `*.journey.test.ts`: whole journeys through the built CLI and
 * real homeservers, on the homeserver that MX_TEST_HOMESERVER names. `*.long.test.ts`: crash, soak and
 * fuzz runs, whose size is MX_TEST_SCALE (1 is the full run). `systemd`: on the machine of scripts/test-systemd.sh.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...shared,
          name: "unit",
          include: ["packages/*/test/**/*.test.ts", "scripts/test/**/*.test.ts"],
          exclude: ["**/*.journey.test.ts", "**/*.long.test.ts", "**/node_modules/**"],
        },
      },
      {
        test: {
          ...shared,
          name: "journey",
          include: ["packages/*/test/**/*.journey.test.ts"],
          exclude: ["**/node_modules/**", ...(embedded ? synapseAlone : withoutChoice)],
          testTimeout: 120_000,
          maxWorkers: 2,
        },
      },
      {
        test: {
          ...shared,
          name: "long",
          include: ["packages/*/test/**/*.long.test.ts"],
          testTimeout: 3_600_000,
          // A short run is one of CI's steps; a full one has the machine to itself.
          maxWorkers: Number(process.env.MX_TEST_SCALE ?? "1") < 1 ? 2 : 1,
        },
      },
      {
        test: {
          ...shared,
          name: "systemd",
          include: ["scripts/systemd/*.test.ts"],
          testTimeout: 300_000,
          maxWorkers: 1,
        },
      },
    ],
  },
});
