import type { MatrixSession } from "../api.ts";

/** What an operator has to do about keys, for `daemon status`. */
export function keyWarnings({ keys }: Pick<MatrixSession, "keys">): string[] {
  const interrupted = keys.crossSigning.interrupted
    ? [
        "making or replacing the cross-signing keys was interrupted: run `mx-agent auth cross-signing bootstrap` or `reset` again",
      ]
    : [];
  const unfinished = keys.recovery.interrupted
    ? [
        "setting up recovery was interrupted, and its key was shown to nobody: run `mx-agent recovery enable` again",
      ]
    : [];
  const asking = keys.verifications
    .pending()
    .map(
      ({ user_id, device_id }) =>
        `${user_id} (device ${device_id}) asks to verify this device: \`mx-agent device verify ${user_id} --accept\``,
    );
  const waiting = keys.recipients
    .waiting()
    .map(
      (room_id) =>
        `nothing is sent into ${room_id}: only signed devices take part, and this one is not signed; \`mx-agent recovery recover\``,
    );
  return [...interrupted, ...unfinished, ...waiting, ...asking];
}
