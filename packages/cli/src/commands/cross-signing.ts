import { mxError } from "@mx-agent/base";
import { answer, type JsonFlag } from "../answer.ts";
import { ask } from "../daemon.ts";
import { PASSWORD_STDIN, type PasswordFlag, withPassword } from "../password.ts";
import { confirm } from "../prompt.ts";
import { renderCrossSigning } from "../render/keys.ts";
import { type Define, verb } from "../verb.ts";

/** The verbs of `auth cross-signing`. */
export const defineCrossSigning: Define = (noun, cli) => {
  verb(noun, {
    name: "bootstrap",
    summary: "make the account's cross-signing keys, and sign this device with them",
    example: "auth cross-signing bootstrap",
    more:
      "Once for an account; its other devices get them with `recovery recover`, or by being verified. Others\n" +
      "who verify the account then trust every device that it has signed. What is there is not replaced.",
  })
    .option(...PASSWORD_STDIN)
    .action(async (flags: JsonFlag & PasswordFlag) => {
      const done = await withPassword(cli, flags, (password) =>
        ask(cli, "cross_signing.bootstrap", { password }),
      );
      await answer(cli, flags, done, renderCrossSigning);
    });

  verb(noun, {
    name: "status",
    summary: "whether the account has an identity, and this device its signature",
    example: "auth cross-signing status",
  }).action(async (flags: JsonFlag) =>
    answer(cli, flags, await ask(cli, "cross_signing.status", {}), renderCrossSigning),
  );

  verb(noun, {
    name: "reset",
    summary: "replace the account's cross-signing keys",
    example: "auth cross-signing reset --yes",
    more:
      "For an account whose keys are lost. Whoever verified it has to do so again, its other devices are no\n" +
      "longer signed, and recovery is disabled. Where it is interrupted, it has to be done again.",
  })
    .option(...PASSWORD_STDIN)
    .option("--yes", "do not ask")
    .action(async (flags: JsonFlag & PasswordFlag & { yes?: boolean }) => {
      if (
        !flags.yes &&
        !(await confirm(cli, "Everybody who verified this account has to do so again. Reset?"))
      )
        throw mxError("MX_DECLINED", {}, cli.stdin.isTTY ? {} : { hint: "without a terminal, give --yes" });
      const done = await withPassword(cli, flags, (password) =>
        ask(cli, "cross_signing.reset", { password }),
      );
      await answer(cli, flags, done, (status) =>
        status.recovery_disabled
          ? `${renderCrossSigning(status)}\nrecovery was disabled; enable it again with \`mx-agent recovery enable\``
          : renderCrossSigning(status),
      );
    });
};
