export * from "./core.ts";
export { inviteRefusals, parseInviteClaim, parseInviteVerdict } from "./v1/invite.ts";
export { type ContentOf, type Parsed, parseContent, schemas } from "./v1/registry.ts";
