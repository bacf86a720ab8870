/** Making links: where the homeserver is the embedded one of this home, with a registration token inside. */
import { mxError } from "@mx-agent/base";
import type { InviteInfo } from "@mx-agent/ipc";
import { readInviteLink } from "@mx-agent/protocol/core";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { embeddedOf } from "./embedded.ts";
import { readRecord } from "./record.ts";

export interface NewInvitation {
  room: string;
  role: "member" | "agent";
  uses: number;
  expires_ms: number;
  /** What guests are to reach; by default what `up` was told, or what this machine uses. */
  homeserver?: string | undefined;
  /** Of a homeserver of somebody else, who gave it to the operator. */
  registration_token?: string | undefined;
}

export type Invitation = InviteInfo & { link: string };

export async function createInvitation(cli: Cli, wanted: NewInvitation): Promise<Invitation> {
  const { room, role, uses, expires_ms } = wanted;
  const { account } = await ask(cli, "auth.status", {});
  if (account === null) throw mxError("MX_NOT_LOGGED_IN");
  return ask(cli, "invite.create", {
    room,
    role,
    uses,
    expires_ms,
    homeserver: wanted.homeserver ?? readRecord(cli.env).public_url ?? null,
    registration_token:
      wanted.registration_token ?? (await embeddedToken(cli, account.homeserver, uses, expires_ms)),
  });
}

/** As many accounts as the invitation has uses, and as long. */
async function embeddedToken(
  cli: Cli,
  homeserver: string,
  uses: number,
  expires_ms: number,
): Promise<string | null> {
  const data = embeddedOf(cli, homeserver);
  if (data === undefined) return null;
  const { createRegistrationToken } = await import("@mx-agent/homeserver");
  return createRegistrationToken(data, { uses, expiresAt: Date.now() + expires_ms });
}

/** Ends an invitation, and what its link lets somebody register with. */
export async function revokeInvitation(cli: Cli, invite_id: string): Promise<InviteInfo> {
  const { link } = await ask(cli, "invite.show", { invite_id });
  const revoked = await ask(cli, "invite.revoke", { invite_id });
  const read = readInviteLink(link);
  const token = read.ok ? read.link.registration_token : null;
  const { embedded } = readRecord(cli.env);
  if (token !== null && embedded !== undefined) {
    const { revokeRegistrationToken } = await import("@mx-agent/homeserver");
    await revokeRegistrationToken(embedded.data, token);
  }
  return revoked;
}

/** Whether others than this host can reach what a link names. */
export function isLocal(url: string): boolean {
  const { hostname } = new URL(url);
  return hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.");
}
