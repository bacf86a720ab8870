import { answer, type JsonFlag } from "../answer.ts";
import { renderUp } from "../render/up.ts";
import { explained } from "../setup/explained.ts";
import { setUp, type UpFlags } from "../setup/up.ts";
import { type Define, describe } from "../verb.ts";

export const define: Define = (command, cli) => {
  describe(command, {
    summary: "set this machine up: homeserver, daemon, workspace, agent, and a link for the next machine",
    example: "up --embedded",
    more:
      "What is there is left as it is, so a call that was interrupted can be typed again, and a second one\n" +
      "says what there is. It writes a policy that allows nothing. On the other machine: `mx-agent join LINK`.\n" +
      "\n" +
      "How two real machines meet:\n" +
      "  --homeserver URL      your own Synapse or Tuwunel, or an account on a public server\n" +
      "  --embedded            a homeserver on this host, reached by this host alone; with\n" +
      "    --url https://...   behind your own proxy with TLS: guests get that address\n" +
      "    --tunnel            behind a tunnel by cloudflared, where that is installed\n" +
      "A tunnel makes the homeserver's address reachable for everybody who learns it: they can try passwords\n" +
      "and registration tokens, and Cloudflare, which ends the TLS, sees tokens, passwords and who talks to\n" +
      "whom. What is said in an encrypted workspace it does not see. The address changes when the tunnel is\n" +
      "opened again, and guests of the old one have to join again.\n" +
      "\n" +
      "For a new account the password is made here and kept in setup.json of the data directory, unless it is\n" +
      "read from stdin or MX_AGENT_PASSWORD. Without a terminal nothing is asked; what is missing is an error.",
  })
    .option("--homeserver <url>", "its URL, or a server name that publishes one")
    .option("--embedded", "start a homeserver on this host")
    .option("--bind <address:port>", "where the embedded one listens, at its first start", undefined)
    .option("--url <url>", "the address that guests are to use, where it is another than this machine's")
    .option("--tunnel", "make the embedded homeserver reachable by cloudflared")
    .option("--user <name>", "the account; by default the machine's name where one is made")
    .option("--password-stdin", "read its password from stdin")
    .option("--register", "make the account on that homeserver")
    .option("--registration-token-stdin", "read the homeserver's registration token from stdin")
    .option("--workspace <name>", "of the workspace that is made or used", "workspace")
    .option("--no-e2ee", "make a workspace that the homeserver can read")
    .option("--sso", "log in with a browser, as `auth login --sso` does")
    .option("--agent <agent>", "this machine's name in it; by default its host name")
    .option("--cwd <directory>", "the project that it works on")
    .option("--no-invite", "make no link")
    .action(async (flags: UpFlags & JsonFlag) =>
      answer(cli, flags, await explained(cli, setUp(cli, flags)), renderUp),
    );
};
